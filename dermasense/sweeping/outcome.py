"""What became of a trial, read from its folder: so a launcher may run it anywhere, and a search
goes on after a kill."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from dermasense.files import read_json, read_yaml, write_json, write_text
from dermasense.run_folder import FAILED

PRUNED = "pruned.json"


class Pruned(Exception):
    """Raised in a trial that its sweep stops early; its text says why."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: "finished", "failed" or "pruned".
        scores: of a finished one, a number a metric.
    """

    state: str
    scores: tuple[float, ...] = ()


def outcome(trial: Path, metrics: Sequence[str]) -> Outcome | None:
    """How the trial in a folder ended; None where it was cut, or never begun.

    A metric that is the trial's monitor is the best score of its training; others are those of the
    weights it kept, on the validation split. Where one is not defined, the trial has failed.
    """
    if not (trial / "finished.json").is_file():
        states = ((FAILED, "failed"), (PRUNED, "pruned"))
        return next((Outcome(state) for name, state in states if (trial / name).is_file()), None)
    val = read_json(trial / "metrics.json")["val"]
    best = read_json(trial / "finished.json")["best"]["score"]
    monitor = read_yaml(trial / "config.yaml")["monitor"]
    scores = [best if metric == monitor else val.get(metric) for metric in metrics]
    if any(score is None or not math.isfinite(score) for score in scores):
        return Outcome("failed")
    return Outcome("finished", tuple(float(score) for score in scores))


def record_unbegun(trial: Path, words: Sequence[str], reason: str) -> None:
    """Leaves of a trial that never began what one that failed leaves."""
    write_text(trial / ".hydra" / "overrides.yaml", yaml.safe_dump(list(words)))
    write_json(trial / FAILED, {"reason": reason})


def record_pruned(trial: Path, reason: str) -> None:
    """Leaves `pruned.json`; the trial's checkpoints stay, and `resume=` would go on with it."""
    write_json(trial / PRUNED, {"reason": reason})
