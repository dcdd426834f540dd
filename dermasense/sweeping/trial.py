"""What a run is told by the search that it is a trial of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrialOf:
    """A trial inside its own process.

    Attributes:
        folder: of the sweep.
        number: of the trial.
        sweeper: options of the group hydra/sweeper.
    """

    folder: Path
    number: int
    sweeper: Mapping[str, Any]

    def watch(self, monitor: str) -> Callable[[Sequence[dict]], None] | None:
        """What to call with the history after each epoch; None where nothing is pruned."""
        if self.sweeper["pruner"] is None:
            return None
        from dermasense.sweeping.optuna_study import watch_trial

        metrics = self.sweeper["metrics"] or monitor
        return watch_trial(
            self.folder,
            self.number,
            metrics if isinstance(metrics, str) else metrics[0],
            pruner=self.sweeper["pruner"],
            startup=self.sweeper["startup"],
            warmup=self.sweeper["warmup"],
        )


def this_trial() -> TrialOf | None:
    """The trial of a search that this Hydra job is; None for any other run."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    hydra = HydraConfig.get()
    sweeper = OmegaConf.to_container(hydra.sweeper, resolve=True)
    if sweeper.get("trial") is None:
        return None
    return TrialOf(Path(hydra.sweep.dir), sweeper["trial"], sweeper)
