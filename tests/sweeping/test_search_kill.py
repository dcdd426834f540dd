"""kill -9 in the middle of a trial of a search: the same command goes on to as many as asked."""

import csv
import json
import shlex
import signal
import time

import pytest

from tests.fakes import TINY
from tests.processes import train

WORDS = [
    *TINY,
    "logger=none",
    "loss=focal",
    "phases=frozen",
    "cache=boundary",
    "phases.frozen.epochs=3",
    "checkpoint.every_n_steps=2",
    "hydra/sweeper=optuna",
    "hydra.sweeper.n_trials=3",
    "hydra.sweeper.startup=1",
    "hydra.sweeper.pruner=median",
    "phases.frozen.lr=tag(log,interval(1e-3,1e-1))",
    "loss.gamma=0,1,2",
]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_in_a_trial_it_goes_on_and_its_best_command_gives_the_same_numbers(tmp_path):
    import optuna

    folder, cache = tmp_path / "sweep", tmp_path / "cache"
    words = ["--multirun", *WORDS, f"hydra.sweep.dir={folder}"]
    process = train(cache, *words)
    while not (folder / "1" / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "0" / "finished.json").exists()
    assert not (folder / "1" / "finished.json").exists()
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "RUNNING"]
    chosen = study.trials[1].params
    kept = (folder / "0" / "finished.json").stat().st_mtime_ns

    process = train(cache, *words)
    assert process.wait(900) == 0, process.stderr.read()
    assert (folder / "0" / "finished.json").stat().st_mtime_ns == kept
    with open(folder / "sweep.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert sorted(row["trial"] for row in rows) == ["0", "1", "2"]
    states = {row["trial"]: row["status"] for row in rows}
    assert set(states.values()) <= {"finished", "pruned"}
    cut = next(row for row in rows if row["trial"] == "1")
    assert float(cut["phases.frozen.lr"]) == chosen["phases.frozen.lr"]
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder / 'study.db'}")
    assert len(study.trials) == 3 and "RUNNING" not in {t.state.name for t in study.trials}

    command = shlex.split((folder / "best.txt").read_text())
    assert command[:3] == ["python", "-m", "dermasense.train"]
    process = train(cache, *command[3:], f"hydra.run.dir={tmp_path / 'again'}")
    assert process.wait(900) == 0, process.stderr.read()
    best = json.loads((folder / rows[0]["trial"] / "metrics.json").read_text())
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again["val"] == best["val"]
