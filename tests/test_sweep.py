"""What a multirun leaves, also where trials fail, differ in their monitor, or are cut."""

import csv
import json
from pathlib import Path

import pytest

from dermasense import experiment
from dermasense.files import write_json, write_text
from dermasense.sweeping.ranking import notes_on, ranked
from dermasense.sweeping.trials import collect
from tests.fakes import TINY


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Pictures are drawn once for all sweeps here."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def sweep(command, tmp_path, cache):
    """Runs a small multirun; returns exit code, rows of sweep.csv (None if absent), out, err."""

    def run(*words: str):
        folder = tmp_path / "sweep"
        small = [*TINY, "debug=limit", "logger=none", "~phases.finetune", f"cache_dir={cache}"]
        code, out, err = command("--multirun", *small, f"hydra.sweep.dir={folder}", *words)
        if not (folder / "sweep.csv").exists():
            return code, None, out, err
        with open(folder / "sweep.csv", newline="") as handle:
            return code, list(csv.DictReader(handle)), out, err

    return run


@pytest.fixture
def planted(monkeypatch):
    """Replaces the training of trials, by their seed, with what is given."""

    def plant(by_seed: dict[int, BaseException]):
        real = experiment.run_experiment

        def run_experiment(settings, run, **options):
            if settings["seed"] in by_seed:
                raise by_seed[settings["seed"]]
            return real(settings, run, **options)

        monkeypatch.setattr(experiment, "run_experiment", run_experiment)

    return plant


def test_trials_are_ranked_and_one_that_diverges_is_recorded(sweep, tmp_path):
    rates = "phases.frozen.lr=0.001,1e30,0.01"
    code, rows, out, err = sweep(rates, "loss=focal")
    assert code == 0, err
    assert [row["status"] for row in rows] == ["finished", "finished", "failed"]
    scores = [float(row["best_score"]) for row in rows[:2]]
    assert scores == sorted(scores, reverse=True)
    assert {row["monitor"] for row in rows} == {"balanced_accuracy"}
    assert float(rows[2]["phases.frozen.lr"]) == 1e30
    assert "not a finite number in phase frozen" in rows[2]["reason"]
    assert "traceback" not in json.loads((tmp_path / "sweep" / "1" / "failed.json").read_text())
    assert not any(key.startswith("test") for key in rows[0])
    assert rows[0]["protocol"] == "grouped" and "say nothing about skin" in rows[0]["note"]
    table = out[out.index("\ntrial  ") :]
    assert table.count("note: ") == 1 and "say nothing about skin" in table
    assert "Best trial, by best_score on the validation split: python -m dermasense.train" in out
    assert list((tmp_path / "sweep").rglob("events*"))


def test_a_fault_of_the_program_leaves_its_traceback(sweep, planted, tmp_path):
    planted({1: RuntimeError("planted")})
    code, rows, _, err = sweep("seed=0,1")
    assert code == 0
    assert [row["status"] for row in rows] == ["finished", "failed"]
    assert rows[1]["reason"] == "RuntimeError: planted"
    failure = json.loads((tmp_path / "sweep" / "1" / "failed.json").read_text())
    assert any("run_experiment" in line for line in failure["traceback"])
    assert "Traceback" not in err and "failed.json" in err


def test_a_sweep_in_which_nothing_finished_exits_1(sweep):
    code, rows, _, err = sweep("seed=0", "batch_size=0,-1")
    assert code == 1
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert "error: no trial finished (2 failed)" in err
    assert "batch_size=-1: expected an integer >= 1." in err


def test_ctrl_c_leaves_the_table_of_what_has_ended(sweep, planted, tmp_path):
    planted({1: KeyboardInterrupt(), 2: AssertionError("never begun")})
    code, rows, out, err = sweep("seed=0,1,2")
    assert code == 130
    assert [row["status"] for row in rows] == ["finished", "cut"]
    assert "[cut]" in out
    assert f"resume={tmp_path / 'sweep' / '1'}" in err


def test_one_monitor_a_trial_gives_no_mixed_column(sweep):
    code, rows, out, err = sweep("monitor=nll,top1")
    assert code == 0, err
    assert {row["monitor"] for row in rows} == {"nll", "top1"}
    ranks = [float(row["val_balanced_accuracy"]) for row in rows]
    assert ranks == sorted(ranks, reverse=True)
    assert "so val_balanced_accuracy ranks them" in out
    assert "Best trial, by val_balanced_accuracy" in out


def trial(folder: Path, monitor: str, score: float, balanced: float, **more) -> None:
    """A finished trial as its files tell it."""
    settings = {"monitor": monitor, "loss": {"name": "ce"}, "balance": {"name": "none"}}
    settings["data"] = {"source": {"root": "here"}}
    settings |= more.get("settings", {})
    write_text(folder / "config.yaml", json.dumps(settings))
    write_text(folder / ".hydra" / "overrides.yaml", "[seed=1]")
    write_json(folder / "environment.json", {"overrides": ["seed=1"]})
    val = {"balanced_accuracy": balanced, "n": 9, "protocol": "grouped"}
    protocol = more.get("protocol", "grouped")
    write_json(folder / "metrics.json", {"val": val, "protocol": protocol, "note": ""})
    write_json(folder / "finished.json", {"seconds": 1.0, "best": {"score": score}})


def order(folder: Path) -> tuple[list[str], str]:
    rows, by = ranked(collect(folder))
    return [row["trial"] for row in rows], by


def test_less_is_better_where_the_monitor_says_so(tmp_path):
    for name, score in (("2", 0.9), ("10", 0.4), ("3", 0.6)):
        trial(tmp_path / name, "nll", score, 0.5)
    assert [row["trial"] for row in collect(tmp_path)] == ["2", "3", "10"]
    assert order(tmp_path) == (["10", "3", "2"], "best_score")


def test_the_loss_of_two_losses_is_not_one_quantity(tmp_path):
    trial(tmp_path / "0", "loss", 0.1, 0.3)
    trial(tmp_path / "1", "loss", 0.9, 0.7, settings={"loss": {"name": "focal"}})
    assert order(tmp_path) == (["1", "0"], "val_balanced_accuracy")


def test_numbers_of_two_protocols_come_with_a_warning(tmp_path):
    trial(tmp_path / "0", "top1", 0.5, 0.3)
    trial(tmp_path / "1", "top1", 0.9, 0.7, protocol="leaky (image-level split)")
    assert notes_on(*ranked(collect(tmp_path))) == [
        "numbers of different data or split protocols do not compare."
    ]
