"""A search whose trials are trained in an instant."""

import csv
from pathlib import Path

import pytest

from dermasense import experiment
from tests.sweeping.trials import instant

BASE = ["data.n_lesions=100", "weights=none", "loss=focal", "phases=frozen"]


@pytest.fixture
def search(command, tmp_path, monkeypatch):
    """Runs a search with `train` in the place of training; exit code, rows of sweep.csv, errors."""

    def run(*words: str, train=instant, folder: Path = tmp_path / "sweep"):
        monkeypatch.setattr(experiment, "run_experiment", train)
        code, out, err = command("--multirun", *BASE, f"hydra.sweep.dir={folder}", *words)
        rows = None
        if (folder / "sweep.csv").exists():
            with open(folder / "sweep.csv", newline="") as handle:
                rows = list(csv.DictReader(handle))
        return code, rows, out + err

    return run
