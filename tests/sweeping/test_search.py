"""Searches: what they run, what they leave, how they go on, what they refuse."""

import json
import shlex
import sys

import pytest

from tests.sweeping.conftest import BASE
from tests.sweeping.trials import instant

RATE = "phases.frozen.lr=tag(log,interval(1e-4,1))"
TPE = ["hydra/sweeper=optuna", "hydra.sweeper.startup=3", RATE]


def rates(rows: list[dict]) -> list[str]:
    """Rates by the number of the trial."""
    return [row["phases.frozen.lr"] for row in sorted(rows, key=lambda row: int(row["trial"]))]


def cut_at(number: int):
    """Training that Ctrl-C ends in trial `number`."""

    def train(settings, run, after_epoch=None):
        if run.path.name == str(number):
            raise KeyboardInterrupt
        return instant(settings, run, after_epoch)

    return train


def test_tpe_runs_as_many_trials_as_asked_and_learns(search, tmp_path):
    import optuna

    code, rows, said = search(*TPE, "hydra.sweeper.n_trials=14", "loss.gamma=0,1,2")
    assert code == 0, said
    assert len(rows) == 14 and {row["status"] for row in rows} == {"finished"}
    scores = [float(row["best_score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    by_number = [float(row["best_score"]) for row in sorted(rows, key=lambda r: int(r["trial"]))]
    assert sum(by_number[7:]) > sum(by_number[:7])
    url = f"sqlite:///{tmp_path / 'sweep' / 'study.db'}"
    study = optuna.load_study(study_name="sweep", storage=url)
    assert len(study.trials) == 14 and study.best_value == pytest.approx(scores[0])
    assert [str(t.params["phases.frozen.lr"]) for t in study.trials] == rates(rows)
    assert (tmp_path / "sweep" / "figures" / "importance.svg").is_file()
    parallel = (tmp_path / "sweep" / "figures" / "parallel_coordinates.svg").read_text()
    assert parallel.count("<polyline") == 14
    page = (tmp_path / "sweep" / "sweep.html").read_text()
    assert "14 trials: 14 finished." in page and "not a medical device" in page
    assert "over 14 finished trials" in page
    command = (tmp_path / "sweep" / "best.txt").read_text()
    assert f"phases.frozen.lr={rows[0]['phases.frozen.lr']}" in shlex.split(command)


@pytest.mark.parametrize(
    "words",
    [
        [*TPE, "hydra.sweeper.n_trials=4"],
        ["hydra/sweeper=random", "hydra.sweeper.n_trials=4", RATE],
        ["hydra/sweeper=grid", "phases.frozen.lr=0.1,0.01", "loss.gamma=range(0,2)"],
        ["hydra/sweeper=random", "hydra.sweeper.pruner=median", "hydra.sweeper.n_trials=4", RATE],
    ],
    ids=["tpe", "random", "grid", "random-pruned"],
)
def test_a_search_that_was_cut_goes_on_as_if_it_had_not(search, tmp_path, words):
    whole = tmp_path / "whole"
    code, expected, said = search(*words, folder=whole)
    assert code == 0 and len(expected) == 4, said
    code, rows, said = search(*words, train=cut_at(2))
    assert code == 130 and [row["status"] for row in rows] == ["finished", "finished", "cut"]
    assert "Go on with: python -m dermasense.train --multirun" in said
    assert f"out={tmp_path / 'sweep'}" in said
    told = shlex.split(said.partition("Go on with: ")[2].splitlines()[0])
    assert {*BASE, *words} <= set(told)
    kept = (tmp_path / "sweep" / "0" / "finished.json").stat().st_mtime_ns
    code, rows, said = search(*words)
    assert code == 0, said
    assert (tmp_path / "sweep" / "0" / "finished.json").stat().st_mtime_ns == kept
    assert rates(rows) == rates(expected)
    assert {row["trial"] for row in rows} == set("0123")


def test_more_trials_of_a_search_that_has_ended(search):
    assert search(*TPE, "hydra.sweeper.n_trials=1")[0] == 0
    code, rows, said = search(*TPE, "hydra.sweeper.n_trials=3")
    assert code == 0 and len(rows) == 3, said


def test_random_and_grid_need_no_optuna_and_tpe_says_so(search, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, rows, said = search("hydra/sweeper=random", "hydra.sweeper.n_trials=3", RATE)
    assert code == 0 and len(rows) == 3, said
    code, rows, said = search(*TPE, folder=tmp_path / "tpe")
    assert code == 2 and "pip install 'dermasense[sweep]'" in said
    assert not (tmp_path / "tpe").exists()


def test_a_trial_that_fails_is_recorded_and_counted(search):
    def failing(settings, run, after_epoch=None):
        if run.path.name == "1":
            raise RuntimeError("planted")
        return instant(settings, run, after_epoch)

    code, rows, said = search(*TPE, "hydra.sweeper.n_trials=4", train=failing)
    assert code == 0, said
    assert [row["status"] for row in rows] == ["finished"] * 3 + ["failed"]
    assert rows[-1]["reason"] == "RuntimeError: planted"


def test_a_metric_that_is_not_defined_fails_the_trial(search, tmp_path):
    code, rows, said = search(*TPE, "hydra.sweeper.n_trials=2", "hydra.sweeper.metrics=nll")
    assert code == 0 and len(rows) == 2, said
    import optuna

    url = f"sqlite:///{tmp_path / 'sweep' / 'study.db'}"
    study = optuna.load_study(study_name="sweep", storage=url)
    assert {trial.state.name for trial in study.trials} == {"FAIL"}
    assert "Trials" in (tmp_path / "sweep" / "sweep.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_combination_that_cannot_be_composed_is_a_failed_trial(search, jobs):
    words = ["hydra/sweeper=grid", "loss=focal,ce", "loss.gamma=1,2"]
    words.append(f"hydra.sweeper.n_jobs={jobs}")
    code, rows, said = search(*words)
    assert code == 0, said
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(rows) == 4 and [row["loss"] for row in failed] == ["ce", "ce"]
    assert "loss.gamma is no option" in failed[0]["reason"]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_bad_trials_are_stopped_early(search, tmp_path, pruner):
    words = [f"hydra.sweeper.pruner={pruner}", "hydra.sweeper.n_trials=12"]
    code, rows, said = search(*TPE, *words)
    assert code == 0, said
    pruned = [row for row in rows if row["status"] == "pruned"]
    assert pruned and len(rows) == 12
    assert f"stopped by the {pruner} pruner after epoch" in pruned[0]["reason"]
    finished = [float(row["best_score"]) for row in rows if row["status"] == "finished"]
    assert rows[0]["status"] == "finished" and finished == sorted(finished, reverse=True)
    place = tmp_path / "sweep" / pruned[0]["trial"]
    assert (place / "pruned.json").is_file() and not (place / "finished.json").exists()


def test_several_metrics_give_a_front(search):
    words = ["hydra.sweeper.metrics=[balanced_accuracy,ece]", "hydra.sweeper.n_trials=6"]
    code, rows, said = search(*TPE, *words)
    assert code == 0, said
    front = [row for row in rows if row["pareto"] == "True"]
    assert rows[: len(front)] == front and "Pareto front of balanced_accuracy, ece" in said
    for row in rows:
        score, error = float(row["val_balanced_accuracy"]), float(row["val_ece"])
        beaten = any(
            float(other["val_balanced_accuracy"]) >= score
            and float(other["val_ece"]) <= error
            and other["trial"] != row["trial"]
            for other in rows
        )
        assert (row["pareto"] == "True") != beaten


def test_a_search_keeps_its_options(search, tmp_path):
    assert search(*TPE, "hydra.sweeper.n_trials=1")[0] == 0
    code, _, said = search(*TPE, "hydra.sweeper.n_trials=3", "seed=1")
    assert code == 2 and "differs in fixed" in said and "hydra.sweep.dir" in said
    code, _, said = search(*TPE, "hydra.sweeper.n_trials=3", "hydra.sweeper.seed=1")
    assert code == 2 and "differs in seed" in said
    assert len(list((tmp_path / "sweep").glob("*/finished.json"))) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hydra.sweeper.metrics=balanced_acuracy"], "did you mean 'balanced_accuracy'"),
        (["monitor=toppp1"], "toppp1 is no validation metric"),
        (["hydra.sweeper.sampler=cmaes"], "sampler=cmaes is unknown"),
        (["hydra.sweeper.pruner=meddian"], "did you mean 'median'"),
        (["hydra.sweeper.n_trials=0"], "n_trials=0: expected an integer >= 1"),
        (["hydra.sweeper.pruner=median", "hydra.sweeper.metrics=[ece,nll]"], "one metric only"),
        (["hed.dropout=interval(0,1)"], "did you mean 'head.dropout'"),
        (["loss=focall,focal"], "did you mean 'focal'"),
        (["hydra.sweep.subdir=x"], "hydra.sweep.subdir cannot be set"),
        (["hydra.sweeper.sampler=grid"], "a grid needs single values"),
    ],
)
def test_a_mistake_is_known_before_the_first_trial(search, tmp_path, words, sentence):
    code, rows, said = search(*TPE, *words)
    assert code == 2 and sentence in said and "Traceback" not in said
    assert rows is None and not list(tmp_path.glob("sweep/*"))


def test_the_folder_of_another_sweep_is_refused(search, tmp_path):
    assert search("loss.gamma=0,1")[0] == 0
    code, _, said = search(*TPE)
    assert code == 2 and "holds a sweep of another kind" in said


def test_hparams_hold_one_summary_a_finished_trial(search, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for trials in (2, 3):
        code, rows, said = search(*TPE, f"hydra.sweeper.n_trials={trials}")
        assert code == 0, said
    places = sorted((tmp_path / "sweep" / "hparams").iterdir())
    assert [place.name for place in places] == ["0", "1", "2"]
    for place in places:
        assert len(list(place.iterdir())) == 1
        events = EventAccumulator(str(place))
        events.Reload()
        assert "_hparams_/session_start_info" in events.summary_metadata
        row = next(row for row in rows if row["trial"] == place.name)
        shown = events.Scalars("val_balanced_accuracy")[0].value
        assert shown == pytest.approx(float(row["val_balanced_accuracy"]))


def test_what_the_study_of_a_search_is_told_lies_in_search_json(search, tmp_path):
    search(*TPE, "hydra.sweeper.n_trials=1")
    facts = json.loads((tmp_path / "sweep" / "search.json").read_text())
    assert facts["metrics"] == ["balanced_accuracy"] and facts["sampler"] == "tpe"
    rate = facts["space"]["phases.frozen.lr"]
    assert rate == {"kind": "between", "low": 1e-4, "high": 1.0, "log": True, "whole": False}
