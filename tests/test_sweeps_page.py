"""docs/sweeps.md: its commands are run, on training that takes no time and runs that are files."""

import shlex
from pathlib import Path

import pytest

from dermasense import experiment, runs
from tests.sweeping.trials import instant
from tests.test_runs_command import finished

PAGE = Path(__file__).resolve().parents[1] / "docs" / "sweeps.md"
START = "    python -m dermasense."


def lines(verb: str) -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8").splitlines()
    return [shlex.split(each)[3:] for each in text if each.startswith(f"{START}{verb} ")]


def few(words: list[str]) -> list[str]:
    """The words of a sweep, of two trials where it is a search."""
    kept = [w for w in words if not w.startswith(("hydra.sweep.dir", "hydra.sweeper.n_trials"))]
    searches = any(w.startswith(("hparams_search=", "hydra/sweeper=")) for w in kept)
    return [*kept, *(["hydra.sweeper.n_trials=2"] if searches else [])]


@pytest.mark.parametrize("words", lines("train"), ids=" ".join)
def test_sweeps_of_the_page_leave_what_it_says(words, command, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "run_experiment", instant)
    folder = tmp_path / "sweep"
    code, out, err = command(*few(words), f"hydra.sweep.dir={folder}")
    assert code == 0, err
    for name in ("sweep.csv", "sweep.html", "best.txt", "hparams", "0"):
        assert (folder / name).exists(), name
    assert "python -m dermasense.train" in out


@pytest.mark.parametrize("words", [[], *lines("runs")], ids=" ".join)
def test_lists_of_the_page(words, call_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for day in ("02", "03"):
        finished(tmp_path / "outputs" / "quick" / f"2026-01-{day}_03-04-05", 0.9)
    code, _, err = call_command(runs, *words)
    assert code == 0, err
