"""The evaluate command as a person meets it."""

import functools
import json
import subprocess
import sys

import pandas as pd
import pytest
from scipy.special import softmax

from dermasense import evaluate
from dermasense.evaluation.predictions import write_predictions
from tests.reporting.run_on_disk import run_folder, table


@pytest.fixture
def command(run_command):
    return functools.partial(run_command, evaluate)


def save(path, seed=0, gain=2.0):
    each = table(seed=seed, gain=gain)
    return write_predictions(path, each.frame, each.logits, each.class_names)


def save_csv(tmp_path, gain=2.0):
    """The same answers as another tool would give them, and their labels."""
    each = table(gain=gain)
    frame = pd.DataFrame(softmax(each.logits, axis=1), columns=list(each.class_names)[::1])
    frame.insert(0, "image_id", each.frame["image_id"])
    frame[["image_id", *reversed(each.class_names)]].to_csv(tmp_path / "theirs.csv", index=False)
    truth = each.frame[["image_id", "label", "group"]].sample(frac=1, random_state=0)
    truth.rename(columns={"group": "lesion_id"}).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path / "theirs.csv", tmp_path / "labels.csv"


def test_a_table_is_reported_beside_itself(command, tmp_path):
    path = save(tmp_path / "x" / "table.parquet")
    code, out, err = command(f"predictions={path}", "resamples=100")
    assert code == 0, err
    metrics = json.loads((path.parent / "metrics.json").read_text())
    assert set(metrics["balanced_accuracy"]) >= {"value", "low", "high", "n"}
    assert metrics["per_class"]["mel"]["recall"]["n"] == metrics["per_class"]["mel"]["n"]
    assert (path.parent / "report.html").stat().st_size < 5e6
    assert (path.parent / "figures" / "reliability.svg").is_file()
    assert "bal.acc" in out and "report.html" in out


def test_a_run_keeps_its_metrics_and_gets_intervals_and_a_card(command, tmp_path):
    run = run_folder(tmp_path / "run")
    before = json.loads(run.metrics.read_text())
    code, _, err = command(f"predictions={run.path}", "resamples=100")
    assert code == 0, err
    after = json.loads(run.metrics.read_text())
    assert after["test"] == before["test"] and after["val"] == before["val"]
    assert after["protocol"] == "grouped" and after["top1"]["value"] == before["test"]["top1"]
    assert (run.path / "report.html").is_file() and (run.bundle / "MODEL_CARD.md").is_file()
    code, *_ = command(f"predictions={run.predictions('val')}", "resamples=100")
    assert code == 0 and (run.path / "predictions_val_evaluation" / "report.html").is_file()
    assert json.loads(run.metrics.read_text()) == after


def test_the_metrics_of_another_run_are_not_written_over(command, tmp_path):
    run = run_folder(tmp_path / "run")
    before = run.metrics.read_bytes()
    code, _, err = command(f"predictions={save(tmp_path / 't.parquet')}", f"out={run.path}")
    assert code == 2 and f"{run.path} holds a run already; name another folder" in err
    assert run.metrics.read_bytes() == before


def test_another_tools_csv_gives_the_same_numbers(command, tmp_path):
    ours = save(tmp_path / "ours" / "t.parquet")
    theirs, labels = save_csv(tmp_path)
    assert command(f"predictions={ours}", "resamples=100")[0] == 0
    words = [f"predictions={theirs}", f"labels={labels}", f"out={tmp_path / 'out (1)'}"]
    code, _, err = command(*words, "resamples=100")
    assert code == 0, err
    mine = json.loads((tmp_path / "ours" / "metrics.json").read_text())
    his = json.loads((tmp_path / "out (1)" / "metrics.json").read_text())
    for name in ("top1", "macro_f1", "nll", "auroc_macro"):
        for end in ("value", "low", "high"):
            assert his[name][end] == pytest.approx(mine[name][end], abs=1e-5), (name, end)


@pytest.mark.parametrize("written", ["{0},{1}", "[{0},{1}]"])
def test_several_tables_are_compared(command, tmp_path, written):
    good, bad = save(tmp_path / "good.parquet", gain=4), save(tmp_path / "bad.parquet", gain=0.5)
    words = [f"predictions={written.format(good, bad)}", f"out={tmp_path / 'out'}"]
    code, _, err = command(*words, "resamples=100")
    assert code == 0, err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics["tables"]) == ["good", "bad"]
    (pair,) = metrics["comparisons"]
    assert pair["differences"]["top1"]["high"] < 0 and pair["mcnemar"]["p_holm"] < 0.001
    assert "bad minus good" in (tmp_path / "out" / "report.html").read_text()


def test_a_csv_without_labels_takes_those_of_the_table_beside_it(command, tmp_path):
    ours, (theirs, _) = save(tmp_path / "ours.parquet"), save_csv(tmp_path)
    words = [f"predictions={ours},{theirs}", f"out={tmp_path / 'out'}", "resamples=100"]
    assert command(*words)[0] == 0
    (pair,) = json.loads((tmp_path / "out" / "metrics.json").read_text())["comparisons"]
    assert pair["mcnemar"]["p"] is None and pair["differences"]["top1"]["value"] == 0


def _with(tmp_path, column, values):
    path = save(tmp_path / "t.parquet")
    frame = pd.read_parquet(path)
    frame[column] = values(frame)
    frame.to_parquet(path)
    return path


def _nan(frame):
    return frame["logit_nv"].mask(frame.index == 4)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda t: [], "predictions= is needed"),
        (lambda t: ["predictions=/nowhere"], "/nowhere: no such file or folder"),
        (lambda t: ["predictions=[]"], "predictions= names no table"),
        (lambda t: [f"predictions={t}"], "the run is not finished"),
        (lambda t: [f"predictions={save(t / 'a.parquet')}", "resamples=5"], "resamples=5"),
        (lambda t: [f"predictions={save(t / 'a.parquet')}", "resamples=x"], "expected an integer"),
        (lambda t: ["prediction=x"], "did you mean 'predictions'?"),
        (lambda t: [f"predictions={save(t / 'a.parquet')},{t / 'a.parquet'}"], "named twice"),
        (lambda t: [f"predictions={save_csv(t)[0]}"], "add labels=<csv"),
        (lambda t: [f"predictions={_with(t, 'logit_nv', _nan)}"], "not a finite number"),
        (lambda t: [f"predictions={_with(t, 'label', lambda f: 'scc')}"], "which is no class"),
        (lambda t: [f"predictions={_with(t, 'image_id', lambda f: 'i')}"], "more than one row"),
        (lambda t: [f"predictions={_with(t, 'fold', lambda f: f.index % 2)}"], "protocol=leaky"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(command, tmp_path, make, sentence):
    code, _, err = command(*make(tmp_path))
    assert code == 2 and sentence in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 and err.startswith("error: ")


def test_a_missing_class_column_is_named(command, tmp_path):
    path = save(tmp_path / "t.parquet")
    frame = pd.read_parquet(path)
    frame.drop(columns="logit_mel").to_parquet(path)
    code, _, err = command(f"predictions={path}")
    assert code == 2 and "mel" in err and str(path) in err


def test_leaky_is_said_where_the_user_says_so(command, tmp_path):
    path = _with(tmp_path, "fold", lambda frame: frame.index % 2)
    code, out, err = command(f"predictions={path}", "protocol=leaky", "resamples=100")
    assert code == 0, err
    assert "too high" in out and "too high" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("words", ["2020", "leaky, on purpose", "one clinic; another clinic"])
def test_a_split_is_called_what_the_user_calls_it(command, tmp_path, words):
    code, out, err = command(
        f"predictions={save(tmp_path / 't.parquet')}", f"protocol={words}", "resamples=100"
    )
    assert code == 0, err
    assert f"protocol: {words}" in out and ("too high" in out) == words.startswith("leaky")


def test_folds_of_images_without_groups_are_not_called_grouped(command, tmp_path):
    path = _with(tmp_path, "fold", lambda frame: frame.index // 2 % 3)
    assert "protocol: grouped, out-of-fold" in command(f"predictions={path}", "resamples=100")[1]
    frame = pd.read_parquet(path)
    frame.assign(group="image " + frame["image_id"].astype(str)).to_parquet(path)
    code, out, err = command(f"predictions={path}", "resamples=100")
    assert code == 0, err
    assert "protocol: by image (no lesion groups known), out-of-fold" in out


def test_no_word_takes_the_leak_from_a_run(command, tmp_path):
    run = run_folder(tmp_path / "run")
    metrics = json.loads(run.metrics.read_text())
    run.metrics.write_text(json.dumps(metrics | {"protocol": "leaky (image-level split)"}))
    code, out, err = command(f"predictions={run.path}", "protocol=grouped", "resamples=100")
    assert code == 0, err
    assert "too high" in out
    assert json.loads(run.metrics.read_text())["protocol"].startswith("leaky")


@pytest.mark.parametrize("key", ["folds", "ensemble", "internal"])
def test_the_metrics_of_another_command_stay(command, tmp_path, key):
    path = save(tmp_path / "table.parquet")
    theirs = json.dumps({key: [], "protocol": "grouped, out-of-fold"})
    (tmp_path / "metrics.json").write_text(theirs)
    code, _, err = command(f"predictions={path}", "resamples=100")
    assert code == 0, err
    assert (tmp_path / "metrics.json").read_text() == theirs
    assert (tmp_path / "table_evaluation" / "report.html").is_file()


def test_a_cross_validation_is_named_by_its_folder(command, tmp_path):
    (tmp_path / "cross_validation.json").write_text("{}")
    code, _, err = command(f"predictions={tmp_path}")
    assert code == 2 and f"dermasense.cross_validate resume={tmp_path}" in err
    save(tmp_path / "predictions_oof.parquet")
    save(tmp_path / "repeat_0" / "predictions_oof.parquet", seed=1)
    code, _, err = command(f"predictions={tmp_path}", "resamples=100", f"out={tmp_path / 'o'}")
    assert code == 0, err
    alone = ["resamples=100", f"out={tmp_path / 'p'}"]
    command(f"predictions={tmp_path / 'repeat_0' / 'predictions_oof.parquet'}", *alone)
    found = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in "op"]
    assert found[0]["top1"] == found[1]["top1"]


def test_help_is_there_before_anything_heavy_is_imported():
    probe = (
        "import sys; sys.argv = ['evaluate', '--help']\n"
        "from dermasense import evaluate\n"
        "try: evaluate.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "theirs.csv" in done.stdout and "not a medical device" in done.stdout
