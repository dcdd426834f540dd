"""The loop of a search: which trial next, run it, take note; after a kill it goes on.

Trials are numbered from 0, and a trial's folder is named by its number.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dermasense.sweeping.outcome import Outcome, outcome
from dermasense.sweeping.plan import Plan
from dermasense.sweeping.space import Space


@dataclass(frozen=True)
class Trial:
    """A trial to be run.

    Attributes:
        number: its place in the search.
        values: of the options that vary, as words.
    """

    number: int
    values: dict[str, str]


class Search(Protocol):
    """Chooses trials."""

    def remaining(self) -> Iterator[Trial]:
        """The trials still to run; each is chosen when it is asked for."""

    def tell(self, trial: Trial, result: Outcome) -> None:
        """Takes note of how one ended."""


@dataclass(frozen=True)
class Drawn:
    """Random or grid search: trial N is a function of the plan and N, so folders are record enough.

    Attributes:
        plan, space: what is asked.
        folder: of the sweep.
    """

    plan: Plan
    space: Space
    folder: Path

    def remaining(self) -> Iterator[Trial]:
        for number in range(self.plan.trials(self.space)):
            if outcome(self.folder / str(number), self.plan.metrics) is None:
                yield Trial(number, values_of(self.plan, self.space, number))

    def tell(self, trial: Trial, result: Outcome) -> None:
        pass


def values_of(plan: Plan, space: Space, number: int) -> dict[str, str]:
    """The values of a trial of a random or grid search."""
    if plan.sampler == "grid":
        return space.grid()[number]
    return space.draw(plan.seed, number)


def open_search(plan: Plan, space: Space, folder: Path) -> Search:
    """The search that a plan asks for, where it stands.

    Raises:
        DermaSenseError: where it needs Optuna and that is not installed.
    """
    if not plan.needs_optuna:
        return Drawn(plan, space, folder)
    from dermasense.sweeping.optuna_study import OptunaSearch

    return OptunaSearch(plan, space, folder)


def run_search(
    search: Search,
    plan: Plan,
    folder: Path,
    launch: Callable[[Sequence[Trial]], None],
) -> None:
    """Runs every remaining trial, `plan.n_jobs` at a time.

    Args:
        search: chooses them.
        plan: how many at once, and which metrics count.
        folder: of the sweep.
        launch: runs trials of consecutive numbers and leaves an outcome in the folder of each.
    """
    trials = search.remaining()
    while batch := list(itertools.islice(trials, plan.n_jobs)):
        for run in consecutive(batch):
            launch(run)
        for trial in batch:
            result = outcome(folder / str(trial.number), plan.metrics)
            search.tell(trial, result or Outcome("failed"))


def consecutive(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Trials in runs without a gap in their numbers: what a launcher numbers from the first one."""
    runs: list[list[Trial]] = []
    for trial in trials:
        if runs and runs[-1][-1].number + 1 == trial.number:
            runs[-1].append(trial)
        else:
            runs.append([trial])
    return runs
