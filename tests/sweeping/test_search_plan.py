"""A search runs what was written: how many trials, in which batches, from which values."""

import json

import pytest

from dermasense.files import read_json, write_json
from dermasense.sweeping.search import Trial, consecutive
from tests.sweeping.test_search import TPE, cut_at, rates
from tests.sweeping.trials import instant

GRID = ["hydra/sweeper=grid", "phases.frozen.lr=0.1,0.01,0.001"]


def study_of(folder):
    import optuna

    return optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder / 'study.db'}")


def test_trials_are_launched_in_runs_without_a_gap():
    runs = consecutive([Trial(n, {}) for n in (0, 1, 3, 4, 6)])
    assert [[t.number for t in run] for run in runs] == [[0, 1], [3, 4], [6]]


def test_a_trial_that_ended_before_its_batch_was_cut_is_told_and_not_run_again(search, tmp_path):
    words = [*TPE, "hydra.sweeper.n_trials=4"]
    assert search(*words, "hydra.sweeper.n_jobs=2", train=cut_at(1))[0] == 130
    kept = (tmp_path / "sweep" / "0" / "finished.json").stat().st_mtime_ns
    code, rows, said = search(*words, "hydra.sweeper.n_jobs=3")
    assert code == 0 and {row["trial"] for row in rows} == set("0123"), said
    assert (tmp_path / "sweep" / "0" / "finished.json").stat().st_mtime_ns == kept
    assert [t.state.name for t in study_of(tmp_path / "sweep").trials] == ["COMPLETE"] * 4


def test_the_study_is_told_what_varies_as_it_was_written(search, tmp_path):
    from optuna.distributions import FloatDistribution, IntDistribution

    words = ["loss.gamma=range(0,5,2)", "seed=int(interval(1,8))"]
    code, _, said = search(*TPE, "hydra.sweeper.n_trials=2", *words)
    assert code == 0, said
    known = study_of(tmp_path / "sweep").trials[0].distributions
    assert known["phases.frozen.lr"] == FloatDistribution(1e-4, 1.0, log=True)
    assert known["loss.gamma"] == IntDistribution(0, 4, step=2)
    assert known["seed"] == IntDistribution(1, 8)


def test_a_search_for_another_metric_than_the_monitor_is_ranked_by_it(search):
    code, rows, said = search(*GRID, "hydra.sweeper.metrics=ece")
    assert code == 0 and [r["phases.frozen.lr"] for r in rows] == ["0.001", "0.01", "0.1"], said
    assert "by val_ece on the validation split" in said


def test_a_grid_of_fewer_trials_than_combinations_ends_there(search):
    code, rows, said = search(*GRID, "hydra.sweeper.n_trials=2")
    assert code == 0 and rates(rows) == ["0.1", "0.01"], said


def test_a_search_by_the_loss_takes_the_best_score_of_training(search, tmp_path):
    code, _, said = search(*TPE, "hydra.sweeper.n_trials=2", "monitor=loss")
    study = study_of(tmp_path / "sweep")
    assert code == 0 and {t.state.name for t in study.trials} == {"COMPLETE"}, said
    assert study.direction.name == "MINIMIZE"


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_nothing_is_pruned_in_the_epochs_of_the_warmup(search, pruner):
    words = [f"hydra.sweeper.pruner={pruner}", "hydra.sweeper.n_trials=12"]
    code, rows, said = search(*TPE, *words, "hydra.sweeper.warmup=2")
    assert code == 0, said
    pruned = [row["reason"] for row in rows if row["status"] == "pruned"]
    assert all(int(r.split("after epoch ")[1].split(":")[0]) > 2 for r in pruned)
    assert pruned or pruner == "hyperband"


@pytest.fixture
def mine(tmp_path):
    """Words that give runs a metric from outside, of which less is better."""
    folder = tmp_path / "conf" / "metrics"
    folder.mkdir(parents=True)
    options = {"mine": {"_target_": "json.loads", "better": "min"}}
    (folder / "mine.yaml").write_text(json.dumps(options))
    return [f"--config-dir={folder.parent}", "metrics=mine"]


def measured(settings, run, after_epoch=None):
    """The metric from outside is what `instant` calls ece: the rate."""
    told = []
    score = instant(settings, run, told.extend)
    known = read_json(run.metrics)
    known["val"]["mine"] = mine = known["val"]["ece"]
    write_json(run.metrics, known)
    if after_epoch:
        after_epoch([{**row, "val_mine": mine} for row in told[:1]])
    if settings["monitor"] == "mine":
        write_json(run.finished, {"seconds": 1.0, "best": {"score": mine}})
    return score


@pytest.mark.parametrize("words", [["monitor=mine"], ["hydra.sweeper.metrics=mine"]])
def test_a_search_makes_a_metric_from_outside_best(search, mine, words):
    code, rows, said = search(*GRID, *mine, *words, train=measured)
    assert code == 0, said
    assert [row["phases.frozen.lr"] for row in rows] == ["0.001", "0.01", "0.1"]


def test_a_study_takes_the_direction_of_a_metric_from_outside(search, mine, tmp_path):
    metrics = "hydra.sweeper.metrics=[balanced_accuracy,mine]"
    words = [*TPE, *mine, metrics, "hydra.sweeper.n_trials=4", "hydra.sweeper.pruner=null"]
    code, rows, said = search(*words, train=measured)
    assert code == 0, said
    assert [d.name for d in study_of(tmp_path / "sweep").directions] == ["MAXIMIZE", "MINIMIZE"]
    front = [row for row in rows if row["pareto"] == "True"]
    assert min(rows, key=lambda row: float(row["val_mine"])) in front
    path = tmp_path / "sweep" / "search.json"
    write_json(path, {key: value for key, value in read_json(path).items() if key != "better"})
    code, _, said = search(*words, train=measured)
    assert code == 2 and "holds a search that differs in better" in said


def test_a_metric_without_a_direction_is_told(search, mine, tmp_path):
    (tmp_path / "conf" / "metrics" / "mine.yaml").write_text('{"mine": {"better": "more"}}')
    code, _, said = search(*GRID, *mine, "monitor=mine", train=measured)
    assert code == 2 and "metrics.mine.better=more: valid: max, min" in said


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_a_search_goes_on_with_its_words_in_another_order(search, tmp_path, sampler):
    words = ["loss.gamma=0,1,2", "phases.frozen.lr=0.1,0.01"]
    common = [f"hydra/sweeper={sampler}", "hydra.sweeper.n_trials=6"]
    _, whole, said = search(*common, *words, folder=tmp_path / "whole")
    assert len(whole) == 6, said
    assert search(*common, "hydra.sweeper.n_trials=3", *words)[0] == 0
    code, rows, said = search(*common, *reversed(words))
    assert code == 0, said
    tried = [
        {row["trial"]: (row["loss.gamma"], row["phases.frozen.lr"]) for row in each}
        for each in (rows, whole)
    ]
    assert tried[0] == tried[1]
