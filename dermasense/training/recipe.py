"""What a run is told about training: phases and what they share, checked before it begins."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import lightning as L
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from dermasense.data.balance import method_of
from dermasense.errors import DermaSenseError, check_options, nearest
from dermasense.evaluation.metrics import MONITORS
from dermasense.evaluation.own_metric import OwnMetric
from dermasense.training.mixing import build_mixing
from dermasense.training.optimizers import build_optimizer
from dermasense.training.schedules import check_schedule


@dataclass(frozen=True)
class Phase:
    """One phase of a schedule.

    Attributes:
        name: what it is called in logs and files.
        epochs: most epochs it takes.
        unfreeze: what of the backbone trains: a number of Keras layers from its end, "blocks:N",
            "all", or 0 for nothing; the head always trains.
        lr: peak learning rate.
        patience: epochs without a better monitor after which it ends; None never ends it early.
        scheduler: name and options of its own schedule; None takes the run's.
    """

    name: str
    epochs: int
    unfreeze: int | str
    lr: float
    patience: int | None = None
    scheduler: dict | None = None


def parse_phases(phases: dict[str, dict]) -> list[Phase]:
    """Phases of a config, in order.

    Raises:
        DermaSenseError: no phase, an option that is unknown or missing, or a value that is no good.
    """
    if not phases:
        raise DermaSenseError("phases is empty: name at least one, for example phases=frozen.")
    known = [each.name for each in fields(Phase) if each.name != "name"]
    parsed = []
    for name, options in phases.items():
        if not isinstance(options, Mapping):
            raise DermaSenseError(
                f"phases.{name}={options}: expected the options of a phase, such as "
                f"+phases.{name}='{{epochs: 3, unfreeze: all, lr: 1e-4}}'."
            )
        for option in options:
            if option not in known:
                raise DermaSenseError(
                    f"phases.{name}.{option} is no option of a phase; {nearest(option, known)}"
                )
        for option in ("epochs", "unfreeze", "lr"):
            if options.get(option) is None:
                raise DermaSenseError(f"phases.{name}.{option} is missing: set it.")
        phase = Phase(name=name, **options)
        if not (isinstance(phase.epochs, int) and phase.epochs >= 1):
            raise DermaSenseError(f"phases.{name}.epochs={phase.epochs}: expected an integer >= 1.")
        if not (isinstance(phase.lr, int | float) and phase.lr > 0):
            raise DermaSenseError(f"phases.{name}.lr={phase.lr}: expected a number > 0.")
        patience = phase.patience
        if patience is not None and not (isinstance(patience, int) and patience >= 1):
            raise DermaSenseError(
                f"phases.{name}.patience={patience}: expected an integer >= 1, or null."
            )
        if phase.scheduler is not None:
            check_schedule(phase.scheduler, f"phases.{name}.scheduler")
        parsed.append(phase)
    return parsed


@dataclass(frozen=True)
class Recipe:
    """How all phases of a run train; plain values from the config.

    Attributes:
        optimizer: options of `build_optimizer` but for the learning rate.
        scheduler: `options` of `build_schedule`, for phases that name none of their own.
        monitor: validation metric that picks the best weights and stops early.
        seed: seed of the run.
        ema_decay: decay of the moving average of the weights, None for none.
        every_n_steps: batches between checkpoints inside an epoch.
        trainer: arguments of Lightning's Trainer.
        mix: options of `build_mixing`, None blends no batches.
        sync_batchnorm: BatchNorms take the statistics of all processes' batches.
        timeout: seconds that a process waits for another.
        metrics: computed beside those of every epoch, by name; the monitor may be one.
        compiled: training steps run what torch.compile makes of the network.
    """

    optimizer: dict
    scheduler: dict
    monitor: str
    seed: int
    ema_decay: float | None
    every_n_steps: int
    trainer: dict
    mix: dict | None = None
    sync_batchnorm: bool = False
    timeout: float = 1800.0
    metrics: Mapping[str, OwnMetric] = field(default_factory=dict)
    compiled: bool = False

    @property
    def better(self) -> str:
        """Whether more ("max") or less ("min") of the monitor is better."""
        own = self.metrics.get(self.monitor)
        return own.better if own else MONITORS[self.monitor]

    def check(self) -> None:
        """Tries what can be tried without data, so that a mistake is known in seconds.

        Raises:
            DermaSenseError: an unknown metric, optimizer or option of it, a schedule or trainer
                option that is no good, or a device that is not there.
        """
        known = [*MONITORS, *self.metrics]
        if self.monitor not in known:
            raise DermaSenseError(
                f"monitor={self.monitor} is no validation metric; {nearest(self.monitor, known)}"
            )
        if self.mix:
            method_of(self.mix["name"], self.mix.keys() - {"name"})
            build_mixing(num_classes=2, **self.mix)
        check_options("optimizer", self.optimizer, build_optimizer, given=("lr",))
        # Of one layer, of which timm would say that a decay by layer does nothing.
        build_optimizer(nn.Linear(1, 1), lr=1.0, **{**self.optimizer, "layer_decay": None})
        check_schedule(self.scheduler)
        try:
            L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, **self.trainer)
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise DermaSenseError(f"trainer: {error}") from None
