"""A plain sweep, Hydra's own, in a folder where something lies already."""

import pytest

from dermasense.files import write_json, write_text
from dermasense.run_folder import RunFolder
from dermasense.sweeping.trials import collect


@pytest.mark.parametrize(
    "words",
    [["loss.gamma=0,1", "seed=0,1,2"], ["seed=0,1", "loss.gamma=0,1"]],
    ids=["more", "reordered"],
)
def test_a_sweep_of_other_words_is_refused_and_the_first_stays(search, tmp_path, words):
    first = ["loss.gamma=0,1", "seed=0,1"]
    assert search(*first)[0] == 0
    before = (tmp_path / "sweep" / "sweep.csv").read_text()
    code, _, said = search(*words)
    assert code == 2 and "holds a sweep that differs in words;" in said
    assert "loss=focal phases=frozen loss.gamma=0,1 seed=0,1)" in said
    assert (tmp_path / "sweep" / "sweep.csv").read_text() == before
    code, rows, said = search(*first)
    assert code == 0 and len(rows) == 4, said


def test_more_values_of_the_first_option_make_more_trials(search, tmp_path):
    assert search("seed=0,1", "loss.gamma=0,1")[0] == 0
    kept = (tmp_path / "sweep" / "3" / "finished.json").stat().st_mtime_ns
    code, rows, said = search("seed=range(0,3)", "loss.gamma=0,1")
    assert code == 0 and len(rows) == 6, said
    assert (tmp_path / "sweep" / "3" / "finished.json").stat().st_mtime_ns == kept
    assert search("seed=0,1", "loss.gamma=0,1")[0] == 2  # it would number others as 4 and 5 later


def test_a_plain_sweep_is_refused_where_a_search_lies(search):
    assert search("loss.gamma=0,1", "hydra/sweeper=grid")[0] == 0
    code, _, said = search("loss.gamma=0,1")
    assert code == 2 and "differs in sweeper" in said


def test_a_sweep_whose_configuration_changed_meanwhile_is_refused(search, tmp_path):
    own = tmp_path / "conf" / "loss" / "mine.yaml"
    words = [f"--config-dir={tmp_path / 'conf'}", "loss=mine", "seed=0,1"]
    write_text(own, "{name: focal, gamma: 1.0, label_smoothing: 0.0, alpha: null}")
    assert search(*words)[0] == 0
    write_text(own, "{name: focal, gamma: 2.0, label_smoothing: 0.0, alpha: null}")
    code, _, said = search(*words)
    assert code == 2 and "differs in loss;" in said


def test_words_that_are_mistaken_do_not_bind_the_folder(search, tmp_path):
    assert search("los.gamma=0,1")[0] == 2
    assert not (tmp_path / "sweep").exists()
    (tmp_path / "sweep").mkdir()
    assert search("los.gamma=0,1")[0] == 2
    code, rows, said = search("loss.gamma=0,1")
    assert code == 0 and len(rows) == 2, said


@pytest.mark.parametrize("left", ["", "hydra: {run: {dir: x}}", "hydra:\n  run: {"])
def test_a_damaged_record_is_one_sentence(search, tmp_path, left):
    assert search("seed=0,1")[0] == 0
    (tmp_path / "sweep" / "multirun.yaml").write_text(left)
    code, _, said = search("seed=0,1")
    assert code == 2 and "multirun.yaml is damaged" in said and "Traceback" not in said


def test_a_trial_that_is_refused_is_not_shown_under_its_words(search, tmp_path):
    """Of a sweep that tells nothing of itself any more."""
    assert search("loss.gamma=0,1")[0] == 0
    (tmp_path / "sweep" / "multirun.yaml").unlink()
    code, rows, said = search("loss.gamma=3,1,2")
    assert code == 0 and "0 holds a run already" in said
    assert [row["loss.gamma"] for row in sorted(rows, key=lambda r: r["trial"])] == ["0", "1", "2"]


def test_a_score_stands_beside_the_words_of_its_own_run(tmp_path):
    run = RunFolder(tmp_path / "0")
    words = ["hydra.searchpath=[file:///conf]", "seed=1", "~phases.finetune"]
    settings = {"monitor": "nll", "data": {"source": {}}}
    run.begin(settings, words)
    write_json(run.metrics, {"val": {}, "protocol": "grouped"})
    write_json(run.finished, {"seconds": 1.0, "best": {"score": 0.5}})
    write_text(run.path / ".hydra" / "overrides.yaml", "[seed=2]")  # of a trial that was refused
    [row] = collect(tmp_path)
    assert row["best_score"] == 0.5 and row["words"] == words
    assert row["overrides"] == {"seed": "1"}


def test_a_run_and_a_sweep_do_not_share_a_folder(search, command, tmp_path):
    sweep, run = tmp_path / "sweep", RunFolder(tmp_path / "run")
    assert search("seed=0,1")[0] == 0
    code, _, said = command("seed=0", f"out={sweep}")
    assert code == 2 and f"{sweep} holds a sweep already" in said
    assert not (sweep / ".hydra").exists()
    run.begin({"seed": 1}, ["seed=1"])
    code, _, said = search("seed=0,1", folder=run.path)
    assert code == 2 and f"{run.path} holds a run already" in said
    assert not (run.path / "0").exists()


def test_what_goes_on_with_a_sweep_is_told(search, command, tmp_path):
    assert search("seed=0,1")[0] == 0
    code, _, said = command(f"resume={tmp_path / 'sweep'}")
    assert code == 2 and "holds a sweep" in said and f"out={tmp_path / 'sweep'}." in said
    code, _, said = command("--multirun", f"resume={tmp_path / 'sweep'}", "seed=0,1")
    assert code == 2 and "--multirun: resume= goes on with one run; leave it out" in said


def test_an_interval_without_a_sampler_names_the_samplers(search):
    code, _, said = search("head.dropout=interval(0,0.5)")
    assert code == 2 and "add hydra/sweeper=optuna or hydra/sweeper=random" in said


def test_a_column_of_an_option_holds_its_words(search, tmp_path):
    code, rows, said = search("data=synthetic,synthetic", "monitor=nll,top1")
    assert code == 0, said
    assert {row["data"] for row in rows} == {"synthetic"}
    assert {row["monitor"] for row in rows} == {"nll", "top1"}
