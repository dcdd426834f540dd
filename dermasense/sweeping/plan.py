"""What a search is asked to do, checked before its first trial and kept in its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError, check_choice, nearest
from dermasense.files import read_json, write_json
from dermasense.sweeping.space import Space

FILE = "search.json"
SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("median", "hyperband")
MAY_GROW = ("n_trials", "n_jobs")
BETTER = ("max", "min")


@dataclass(frozen=True)
class Plan:
    """A search.

    Attributes:
        sampler: `tpe` learns from earlier trials (Bergstra et al. 2011; needs Optuna), `random`,
            or `grid`, all combinations.
        metrics: validation metrics to make best; the first decides on pruning.
        better: "max" or "min" of every validation metric that trials have, by name; see
            `directions`.
        n_trials: how many trials in all, failed ones among them; None with a grid: all of it.
        seed: of the search, not of training.
        pruner: what stops trials early; None for nothing.
        startup: random trials before TPE learns and before anything is pruned.
        warmup: epochs that no trial is pruned in.
        n_jobs: trials handed to the launcher at once.
    """

    sampler: str
    metrics: tuple[str, ...]
    better: Mapping[str, str]
    n_trials: int | None
    seed: int
    pruner: str | None
    startup: int
    warmup: int
    n_jobs: int

    @property
    def needs_optuna(self) -> bool:
        """Whether drawing alone will not do."""
        return self.sampler == "tpe" or self.pruner is not None

    def check(self) -> None:
        """Tries every option.

        Raises:
            DermaSenseError: an unknown sampler, pruner or metric, a number out of range, or
                pruning by several metrics.
        """
        place = "hydra.sweeper."
        check_choice(f"{place}sampler", self.sampler, SAMPLERS)
        if self.pruner is not None:
            check_choice(f"{place}pruner", self.pruner, PRUNERS)
        for metric in self.metrics:
            if metric not in self.better:
                raise DermaSenseError(
                    f"{place}metrics: {metric} is no validation metric; "
                    f"{nearest(metric, self.better)}"
                )
            if self.better[metric] not in BETTER:
                raise DermaSenseError(
                    f"metrics.{metric}.better={self.better[metric]}: "
                    f"{nearest(self.better[metric], BETTER)}"
                )
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            raise DermaSenseError(f"{place}metrics: name each metric once, and at least one.")
        if self.pruner and len(self.metrics) > 1:
            raise DermaSenseError(
                f"{place}pruner={self.pruner}: trials can be stopped early by one metric only, and "
                f"there are {len(self.metrics)}; name one, or take {place}pruner=null."
            )
        least = {"n_trials": 1, "n_jobs": 1, "startup": 0, "warmup": 0, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            optional = name == "n_trials" and self.sampler == "grid" and value is None
            if not optional and (type(value) is not int or value < low):
                raise DermaSenseError(f"{place}{name}={value}: expected an integer >= {low}.")

    def trials(self, space: Space) -> int:
        """How many trials there will be."""
        if self.sampler != "grid":
            return self.n_trials
        whole = len(space.grid())
        return whole if self.n_trials is None else min(whole, self.n_trials)

    def settle(self, folder: Path, space: Space) -> Space:
        """Writes the plan into the folder of the sweep, or holds it against the one there.

        Returns:
            The space to search, with its options in the order of the one there: what trial N is
            depends on it.

        Raises:
            DermaSenseError: where another sweep lies there.
        """
        path = folder / FILE
        before = read_json(path) if path.is_file() else {}
        if not before and any(folder.glob("*/.hydra")):
            raise DermaSenseError(
                f"{folder} holds a sweep of another kind (no {FILE} in it); name another folder "
                "with hydra.sweep.dir=..."
            )
        space = space.ordered(before.get("space", ()))
        now = self.facts(space)
        differ = [k for k in now if k not in MAY_GROW and now[k] != before.get(k)]
        if before and differ:
            raise DermaSenseError(
                f"{folder} holds a search that differs in {', '.join(differ)}; a search that "
                "goes on keeps its options but for n_trials and n_jobs: type them as before, "
                "or name another folder with hydra.sweep.dir=..."
            )
        write_json(path, now)
        return space

    def facts(self, space: Space) -> dict[str, Any]:
        """Plan and space as plain values."""
        options = {key: described(option) for key, option in space.options.items()}
        better = {metric: self.better[metric] for metric in self.metrics}
        own = {**vars(self), "metrics": list(self.metrics), "better": better}
        return {**own, "fixed": sorted(space.fixed), "space": options}


def described(option: Any) -> dict[str, Any]:
    """An option of a space as plain values."""
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(option).items()}
    return {"kind": type(option).__name__.lower(), **values}


def directions(metrics: Mapping[str, Any]) -> dict[str, str]:
    """ "max" or "min" of every validation metric that a run has, by name.

    Args:
        metrics: options of the group `metrics`, those from outside the package.
    """
    from dermasense.evaluation.metrics import MONITORS

    own = {name: each.get("better") for name, each in metrics.items() if isinstance(each, Mapping)}
    return {**own, **MONITORS}


def objectives(folder: Path) -> dict[str, str]:
    """Metrics that the search in a folder makes best, in order, and "max" or "min" of each.

    There are none in a sweep that is no search.
    """
    path = folder / FILE
    facts: Mapping = read_json(path) if path.is_file() else {}
    return facts.get("better", {})
