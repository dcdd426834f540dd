"""Learning-rate schedules of one phase, on torch's own schedulers.

A schedule is stepped by the LightningModule and saved in its checkpoint, since Lightning does not
step a plateau scheduler again when it resumes at the end of an epoch.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedules

from dermasense.errors import DermaSenseError, check_options, nearest


def _number(fits: Callable[[float], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and math.isfinite(value) and fits(value)


# Whole shares are allowed but for the warmup: warmup=1 would be meant as one step.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "warmup": (_number(lambda x: 0 <= x < 1), "a share of the steps, from 0 and below 1"),
    "rise": (_number(lambda x: 0 <= x <= 1), "a share of the steps, from 0 to 1"),
    "final": (_number(lambda x: 0 <= x <= 1), "a share of the peak, from 0 to 1"),
    "factor": (_number(lambda x: 0 < x < 1), "a number above 0 and below 1"),
    "patience": (lambda value: type(value) is int and value >= 1, "an integer >= 1"),
    "min_lr": (_number(lambda x: x >= 0), "a number >= 0"),
}


@dataclass
class Schedule:
    """A torch scheduler and when it steps: after each step, or each epoch on the monitor."""

    scheduler: torch_schedules.LRScheduler
    on_plateau: bool = False

    def after_step(self) -> None:
        if not self.on_plateau:
            self.scheduler.step()

    def after_epoch(self, monitored: float) -> None:
        if self.on_plateau:
            self.scheduler.step(monitored)


def check_schedule(options: Any, place: str = "scheduler") -> None:
    """Holds the options of a schedule against its signature and their ranges.

    Args:
        options: `name` and options of `build_schedule`.
        place: where the configuration has them.

    Raises:
        DermaSenseError: for what is no mapping with a name, an unknown name or option, or a value
            out of range.
    """
    if not isinstance(options, Mapping):
        raise DermaSenseError(
            f"{place}={options}: expected a name and its options; type "
            f"+{place}='{{name: {options}}}'."
        )
    if "name" not in options:
        raise DermaSenseError(f"{place}.name is missing: set it, such as +{place}.name=cosine.")
    rest = dict(options)
    name = rest.pop("name")
    if name not in list(BUILDERS):
        raise DermaSenseError(f"{place}.name={name} is unknown; {nearest(name, BUILDERS)}")
    check_options(place, rest, BUILDERS[name])
    for option, (fits, words) in RANGES.items():
        if option in options and not fits(options[option]):
            raise DermaSenseError(f"{place}.{option}={options[option]}: expected {words}.")


def build_schedule(
    optimizer: Optimizer, options: Mapping[str, Any], *, total_steps: int, mode: str
) -> Schedule:
    """The schedule of one phase.

    Args:
        optimizer: its groups' learning rates are the peaks.
        options: `name` (constant, cosine, one_cycle or plateau), `warmup` (share of the steps that
            rise linearly from a hundredth; constant and cosine), `final` (last rate as a share of
            each group's peak; cosine), `rise` (share of the steps before the peak; one_cycle),
            `factor`, `patience` (epochs without a better monitor, as Keras counts), `min_lr`
            (plateau).
        total_steps: optimizer steps in the whole phase.
        mode: "max" or "min", what plateau takes as better.

    Raises:
        DermaSenseError: on an unknown name or option, or a value out of range.
    """
    check_schedule(options)
    rest = dict(options)
    return BUILDERS[rest.pop("name")](optimizer, max(1, total_steps), mode, **rest)


def _constant(optimizer: Optimizer, total: int, mode: str, *, warmup: float = 0.0) -> Schedule:
    flat = torch_schedules.ConstantLR(optimizer, factor=1.0, total_iters=0)
    return Schedule(_after_warmup(optimizer, flat, round(warmup * total)))


def _cosine(
    optimizer: Optimizer, total: int, mode: str, *, warmup: float = 0.0, final: float = 0.0
) -> Schedule:
    rise = round(warmup * total)
    length = max(1, total - rise)
    # Shares of each group's own peak: torch's CosineAnnealingLR has one last rate for all groups.
    fall = torch_schedules.LambdaLR(optimizer, lambda step: _between(1.0, final, step / length))
    return Schedule(_after_warmup(optimizer, fall, rise))


def _one_cycle(optimizer: Optimizer, total: int, mode: str, *, rise: float = 0.25) -> Schedule:
    # torch's OneCycleLR divides by zero where the rise is a single step, as in a debug run.
    peak = max(1.0, rise * total)

    def share(step: int) -> float:
        if step < peak:
            return _between(1 / 25, 1.0, step / peak)
        return _between(1.0, 1e-4, min(1.0, (step - peak) / max(1.0, total - peak)))

    return Schedule(torch_schedules.LambdaLR(optimizer, share))


def _between(start: float, end: float, part: float) -> float:
    """Half a cosine from start (part 0) to end (part 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _plateau(
    optimizer: Optimizer,
    total: int,
    mode: str,
    *,
    factor: float = 0.2,
    patience: int = 2,
    min_lr: float = 0.0,
) -> Schedule:
    scheduler = torch_schedules.ReduceLROnPlateau(
        optimizer,
        mode=mode,
        factor=factor,
        patience=patience - 1,  # torch waits for one epoch more than its patience
        min_lr=min_lr,
        threshold=1e-4,
    )
    return Schedule(scheduler, on_plateau=True)


BUILDERS: dict[str, Callable[..., Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "plateau": _plateau,
}


def _after_warmup(optimizer, scheduler, steps: int):
    if steps < 1:
        return scheduler
    rise = torch_schedules.LinearLR(optimizer, start_factor=0.01, total_iters=steps)
    return torch_schedules.SequentialLR(optimizer, [rise, scheduler], milestones=[steps])
