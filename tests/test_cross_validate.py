"""The cross_validate command as a person meets it: folds, kills, repeats, gathered sweeps."""

import functools
import json
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from dermasense import cross_validate, experiment, train
from dermasense.evaluation.predictions import read_predictions
from tests.fakes import TINY, stub_backbone
from tests.test_kill import OPTIONS, wait_for

QUICK = [*TINY, "limit_epochs=1", "logger=none", "report.images=false"]


@pytest.fixture
def command(run_command, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    return functools.partial(run_command, cross_validate)


def splits(run):
    return pd.read_csv(run / "splits.csv", dtype=str)


def test_two_folds_killed_and_resumed(command, run_command, tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    code, out, err = command(*QUICK, "folds=2", f"hydra.run.dir={whole}")
    assert code == 0, err
    assert "out of fold" in out and "note: synthetic images" in out

    table = read_predictions(whole / "predictions_oof.parquet")
    known = pd.concat([splits(whole / f"fold_{n}") for n in range(2)])
    assert sorted(table.frame["image_id"]) == sorted(known["image_id"].unique())  # each once
    assert table.frame.groupby("group")["fold"].nunique().max() == 1
    folds = pd.read_csv(whole / "folds.csv")
    assert dict(zip(folds["image_id"], folds["fold"], strict=True)) == dict(
        zip(table.frame["image_id"], table.frame["fold"], strict=True)
    )
    for number in range(2):
        parts = splits(whole / f"fold_{number}")
        groups = {part: set(rows["group"]) for part, rows in parts.groupby("split")}
        assert groups["val"] and not groups["val"] & groups["test"]
        assert not groups["train"] & (groups["val"] | groups["test"])
        judged = table.frame["image_id"][table.frame["fold"] == number]
        assert set(judged) == set(parts["image_id"][parts["split"] == "test"])

    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["protocol"] == "grouped, out-of-fold" and metrics["n"] == len(table)
    assert [row["run"] for row in metrics["folds"]] == ["fold_0", "fold_1"]
    each = [row["top1"] for row in metrics["folds"]]
    assert metrics["spread"]["folds"]["top1"]["mean"] == pytest.approx(sum(each) / 2)
    assert len(metrics["after_temperature"]["temperatures"]) == 2
    assert "Folds" in (whole / "report.html").read_text()

    # A kill in the second fold: the first is skipped, the second goes on, the end is the same.
    trained = []
    once = experiment.run_experiment

    def dying(settings, run):
        trained.append(run.path.name)
        if run.path.name == "fold_1":
            raise KeyboardInterrupt
        return once(settings, run)

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "run_experiment", dying)
        code, _, err = command(*QUICK, "folds=2", f"hydra.run.dir={cut}")
    assert code == 130 and f"resume={cut}" in err and trained == ["fold_0", "fold_1"]
    assert not (cut / "predictions_oof.parquet").exists()
    before = (cut / "fold_0" / "finished.json").stat().st_mtime_ns
    code, _, err = command(f"resume={cut}")
    assert code == 0 and "fold_0: finished before" in err, err
    assert (cut / "fold_0" / "finished.json").stat().st_mtime_ns == before
    for name in ("predictions_oof.parquet", "folds.csv"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()

    # A fold is an ordinary run.
    code, out, err = run_command(train, f"resume={cut / 'fold_1'}")
    assert code == 0 and "is finished" in out
    words = json.loads((cut / "fold_1" / "environment.json").read_text())["overrides"]
    assert words[0] == "split=fold" and "split.fold=1" in words and "folds=2" not in words
    code, _, err = run_command(train, f"resume={cut / 'fold_1'}", "split.fold=0")
    assert code == 2 and "split.fold (1 -> 0)" in err


@pytest.mark.slow
def test_a_sweep_over_folds_is_gathered_to_the_same_table(command, run_command, tmp_path):
    whole, swept = tmp_path / "whole", tmp_path / "swept"
    words = ["folds=2", "repeats=2", "split.seed=0"]
    code, out, err = command(*QUICK, *words, f"hydra.run.dir={whole}")
    assert code == 0, err
    assert "all repeats" in out
    sweep = ["--multirun", "split=fold", "split.folds=2", "split.fold=0,1", "seed=0,1"]
    code, _, err = run_command(train, *QUICK, *sweep, "split.seed=0", f"hydra.sweep.dir={swept}")
    assert code == 0, err
    assert command(f"resume={swept}")[0] == 0
    long = pd.read_parquet(whole / "predictions_oof.parquet")
    pd.testing.assert_frame_equal(long, pd.read_parquet(swept / "predictions_oof.parquet"))
    assert (long.groupby("image_id")["repeat"].agg(list).map(sorted).map(tuple) == (0, 1)).all()
    assert long.groupby("image_id")["fold"].nunique().max() == 1  # split.seed holds the folds
    second = read_predictions(whole / "repeat_1" / "predictions_oof.parquet")
    assert sorted(second.frame["image_id"]) == sorted(long["image_id"].unique())
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["over_repeats"]["top1"]["n"] == metrics["n"] == len(second)
    assert [row["seed"] for row in metrics["repeats"]] == [0, 1]
    assert len(metrics["folds"]) == 4 and metrics["spread"]["repeats"]["top1"]["n"] == 2


def test_each_fold_begins_with_and_learns_from_the_same_fold_of_another(
    command, run_command, tmp_path
):
    former, later, taught = tmp_path / "former", tmp_path / "later", tmp_path / "taught"
    words = [*QUICK, "folds=2", "phases=frozen"]
    assert command(*words, f"hydra.run.dir={former}")[0] == 0
    code, _, err = command(*words, f"weights={former}", f"hydra.run.dir={later}")
    assert code == 0, err
    loss = ["loss=distill", f"loss.teacher={former}"]
    code, _, err = command(*words, *loss, f"hydra.run.dir={taught}")
    assert code == 0, err
    for fold in ("fold_0", "fold_1"):
        known = json.loads((later / fold / "bundle" / "model.json").read_text())
        source = former / fold / "bundle" / "model.safetensors"
        assert known["weights_provenance"]["source"] == str(source)
        assert "comes along" in known["weights_provenance"]["head"]
        for made, word in ((later, "weights"), (taught, "loss.teacher")):
            typed = json.loads((made / fold / "environment.json").read_text())["overrides"]
            assert [each for each in typed if each.startswith(f"{word}=")] == [
                f"{word}={former / fold}"
            ]
    assert command(f"resume={later}")[0] == 0  # they differ in nothing but the fold
    (later / "cross_validation.json").unlink()
    (later / "fold_1" / "config.yaml").write_text(
        (later / "fold_1" / "config.yaml").read_text().replace(str(former), "elsewhere")
    )
    code, _, err = command(f"resume={later}")
    assert code == 2 and "differs from the other folds in weights;" in err


def test_a_former_one_in_a_folder_that_is_called_as_a_fold_or_an_option(command, tmp_path):
    former = tmp_path / "0" / "lr=0.1"
    words = [*QUICK, "phases=frozen", "folds=2"]
    assert command(*words, f"hydra.run.dir='{former}'")[0] == 0
    later = tmp_path / "later"
    code, _, err = command(*words, f"weights='{former}'", f"hydra.run.dir={later}")
    assert code == 0, err
    (later / "fold_1" / "finished.json").unlink()
    (later / "fold_1" / "environment.json").write_text(
        (later / "fold_1" / "environment.json").read_text().replace('"commit": "', '"commit": "x')
    )
    code, _, err = command(f"resume={later}")
    assert code == 0, err


def test_a_fold_that_lacks_its_model_is_told_before_any_is_trained(command, tmp_path):
    former, later = tmp_path / "former", tmp_path / "later"
    words = [*QUICK, "folds=2", "phases=frozen"]
    assert command(*words, f"hydra.run.dir={former}")[0] == 0
    begin = [*words, f"weights={former}", f"hydra.run.dir={later}"]
    (former / "fold_1" / "finished.json").rename(tmp_path / "finished.json")
    code, _, err = command(*begin)
    assert code == 2 and f"weights={former}: fold_1 of that cross-validation is not finished" in err
    assert not (later / "cross_validation.json").exists() and not (later / "fold_0").exists()
    (tmp_path / "finished.json").rename(former / "fold_1" / "finished.json")
    assert command(*begin)[0] == 0
    (former / "fold_1").rename(tmp_path / "fold_1")  # finished folds need it no more
    assert command(f"resume={later}")[0] == 0


def test_weights_that_have_seen_a_folds_images_are_refused(command, tmp_path):
    former = tmp_path / "former"
    words = [*QUICK, "phases=frozen"]
    assert command(*words, "folds=2", f"hydra.run.dir={former}")[0] == 0
    places = {
        ("folds=2", "seed=1", f"weights={former}"): "trained or was chosen on",  # other folds
        ("folds=2", f"weights={former / 'fold_0'}"): "trained or was chosen on",  # of fold 1
        ("folds=3", f"weights={former}"): "that cross-validation has no fold_2",
        ("folds=2", "repeats=2", "split.seed=0", f"weights={former}"): None,
    }
    for number, (more, refused) in enumerate(places.items()):
        code, _, err = command(*words, *more, f"hydra.run.dir={tmp_path / str(number)}")
        assert (code, "Traceback" in err) == ((2, False) if refused else (0, False)), err
        assert (refused or "") in err
    few = tmp_path / "few"
    code, _, err = command(*words, "folds=3", "seed=0", f"hydra.run.dir={few}")
    assert code == 0
    (few / "fold_2").rename(tmp_path / "taken")
    code, _, err = command(*words, "folds=3", f"weights={few}", f"hydra.run.dir={tmp_path / 'x'}")
    assert code == 2 and f"weights={few}: that cross-validation has no fold_2" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["folds=1"], "folds=1: expected an integer >= 2."),
        (["repeats=0"], "repeats=0: expected an integer >= 1."),
        (["seed=4294967295", "repeats=2"], "with repeats=2 the last seed would be above"),
        (["fold=2"], "fold is no option; did you mean 'folds'"),
        (["split=image"], "split=image: a cross-validation splits by itself"),
        (["--multirun", "seed=0,1"], "--multirun: cross_validate walks the folds itself"),
        (["loss.gama=1", "loss=focal"], "did you mean 'loss.gamma'"),
        (["resume=/nowhere"], "/nowhere holds no cross-validation"),
        (["resume=/nowhere", "seed=1"], "seed=1: a resumed cross-validation keeps its options"),
        (["folds=60"], "cannot reach 60 splits"),
        (["split.folds=3"], "split.folds=3: a cross-validation takes folds=..."),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(command, tmp_path, words, sentence):
    drawn = [] if "resume" in words[0] else [*TINY, f"hydra.run.dir={tmp_path / 'cv'}"]
    code, _, err = command(*drawn, *words)
    assert code == 2 and sentence in err and "Traceback" not in err


@pytest.mark.parametrize(("words", "seed"), [([], None), (["++split.seed=7"], 7)])
def test_however_the_seed_of_the_folds_is_typed_it_holds(
    command, monkeypatch, tmp_path, words, seed
):
    plans = []
    monkeypatch.setattr(cross_validate, "_walk", plans.append)
    assert command(*TINY, *words, "seed=3", f"hydra.run.dir={tmp_path / 'cv'}")[0] == 0
    assert [plan.split_seed for plan in plans] == [seed]


def test_help_is_there_before_anything_heavy_is_imported():
    probe = (
        "import sys; sys.argv = ['cross_validate', '--help']\n"
        "from dermasense import cross_validate\n"
        "try: cross_validate.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "gathers what it left" in done.stdout and "not a medical device" in done.stdout


@pytest.mark.slow
def test_kill_nine_twice_and_resume_is_bit_equal(tmp_path):
    def start(*words):
        environment = {
            **os.environ,
            "DERMASENSE_CACHE": str(tmp_path / "c"),
            "OMP_NUM_THREADS": "1",
        }
        line = [sys.executable, "-m", "dermasense.cross_validate", *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(line, env=environment, **quiet)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    words = [*OPTIONS, "folds=2", "report.images=false", "num_workers=0"]
    process = start(*words, f"hydra.run.dir={whole}")
    assert process.wait(300) == 0, process.stderr.read()
    process = start(*words, f"hydra.run.dir={cut}")
    for place in ("fold_0/checkpoints/last.ckpt", "fold_1/splits.csv"):
        wait_for(cut / place, process)
        assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start(f"resume={cut}")
    assert process.wait(300) == 0, process.stderr.read()
    for name in ("predictions_oof.parquet", "folds.csv", "fold_0/bundle/model.safetensors"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
