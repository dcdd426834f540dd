"""The ensemble command as a person meets it: weights, honesty, a bundle that answers."""

import functools
import html
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from dermasense import ensemble, predict
from dermasense.ensemble_members import from_runs, merged_splits
from dermasense.evaluation.predictions import read_predictions, write_predictions
from dermasense.evaluation.protocol import LEAKY
from dermasense.files import write_csv, write_json
from dermasense.run_folder import PLAN, RunFolder
from tests.fakes import HAM_CLASSES, noise, stub_backbone
from tests.inference.tiny_bundle import tiny_bundle
from tests.reporting.run_on_disk import run_folder, table


@pytest.fixture
def command(run_command, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    return functools.partial(run_command, ensemble)


def member(path, seed, gain):
    """A finished run; members share images, labels and split, and differ in their noise."""
    noisy = np.random.default_rng(seed)
    run = run_folder(path, gain=gain)
    for split in ("val", "test"):
        each = read_predictions(run.predictions(split))
        frame = each.frame.assign(image_id=split + each.frame["image_id"])
        frame["group"] = split + frame["group"]
        logits = each.logits + noisy.normal(scale=1.5, size=each.logits.shape)
        write_predictions(run.predictions(split), frame, logits, each.class_names)
    shutil.rmtree(run.bundle)
    tiny_bundle(run.bundle, names=HAM_CLASSES, licence="CC BY-NC 4.0", training_data="ham10000")
    return path


@pytest.fixture
def runs(tmp_path):
    return [member(tmp_path / f"m{n}", n, gain) for n, gain in enumerate((2.0, 1.5, 0.2))]


def words(runs, out, *more):
    return [f"runs={','.join(map(str, runs))}", f"out={out}", "resamples=100", *more]


def weights(out):
    metrics = json.loads((out / "metrics.json").read_text())
    return {row["name"]: row["weight"] for row in metrics["ensemble"]["members"]}


def relabel(run, split):
    """Permutes the labels of a table."""
    each = read_predictions(run / f"predictions_{split}.parquet")
    mixed = each.frame["label"].sample(frac=1, random_state=5).to_numpy()
    path = run / f"predictions_{split}.parquet"
    write_predictions(path, each.frame.assign(label=mixed), each.logits, each.class_names)


@pytest.mark.parametrize("method", ["mean", "weights", "greedy"])
def test_weights_never_see_a_test_label(command, runs, tmp_path, method):
    code, _, err = command(*words(runs, tmp_path / "one", f"method={method}"))
    assert code == 0, err
    for run in runs:
        relabel(run, "test")
    assert command(*words(runs, tmp_path / "two", f"method={method}"))[0] == 0
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    one, two = (json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("one", "two"))
    assert one["top1"] != two["top1"]
    assert one["ensemble"]["best_member"] == two["ensemble"]["best_member"] == "m0"
    if method == "mean":
        assert set(weights(tmp_path / "one").values()) == {1 / 3}
    else:
        for run in runs:  # but they do see validation
            relabel(run, "val")
        assert command(*words(runs, tmp_path / "three", f"method={method}"))[0] == 0
        assert weights(tmp_path / "one") != weights(tmp_path / "three")


def test_it_leaves_tables_a_report_and_a_bundle_that_answers(command, run_command, runs, tmp_path):
    out = tmp_path / "both (1)"
    code, printed, err = command(*words(runs, out, "method=weights", "average=log"))
    assert code == 0, err
    assert "ensemble minus m0, the best member on validation" in printed
    metrics = json.loads((out / "metrics.json").read_text())
    (gain,) = metrics["gain"]
    assert set(gain["differences"]["balanced_accuracy"]) >= {"value", "low", "high", "n"}
    assert len(metrics["ensemble"]["diversity"]) == 3
    assert set(metrics["ensemble"]["candidates"]) == {"mean", "weights", "greedy"}
    assert metrics["after_temperature"]["temperature"] > 0
    table_ = read_predictions(out / "predictions_test.parquet")
    assert (
        table_.frame["image_id"].tolist()
        == read_predictions(runs[0] / "predictions_test.parquet").frame["image_id"].tolist()
    )
    report = (out / "report.html").read_text()
    assert "double fault" in report and "not a medical device" in report
    assert set(pd.read_csv(out / "splits.csv")["split"]) == {"train"}
    for number in range(2):
        noise(tmp_path / "pictures" / f"{number}.png", number)
    code, printed, err = run_command(
        predict, f"bundle={out}", f"images={tmp_path / 'pictures'}", f"out={tmp_path / 'answers'}"
    )
    assert code == 0, err
    assert len(pd.read_parquet(tmp_path / "answers" / "predictions.parquet")) == 2


def test_no_member_is_written_over(command, runs, tmp_path):
    def held(folder):
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    mine = tmp_path / "mine"
    mine.mkdir()
    tables = [shutil.copy(run / "predictions_test.parquet", mine / run.name) for run in runs]
    tables[0] = tables[0].rename(mine / "predictions_test.parquet")
    before = [held(runs[0]), held(mine)]
    code, _, err = command(*words(runs, runs[0]))
    assert code == 2 and f"{runs[0]} holds a run already; name another" in err
    code, _, err = command(f"predictions={','.join(map(str, tables))}", f"out={mine}")
    assert code == 2 and f"{tables[0]} is read, and would be written over" in err
    assert [held(runs[0]), held(mine)] == before


def test_what_any_member_has_seen_is_told(command, runs, tmp_path):
    file = runs[1] / "bundle" / "model.json"
    known = json.loads(file.read_text()) | {"training_data": "clinic"}
    known["weights_provenance"] = {"trained_on": ["isic2018", "ham10000"]}
    file.write_text(json.dumps(known))
    code, _, err = command(*words(runs, tmp_path / "out"))
    assert code == 0, err
    told = json.loads((tmp_path / "out" / "bundle" / "model.json").read_text())
    assert told["training_data"] == "ham10000"
    assert told["weights_provenance"]["trained_on"] == ["clinic", "isic2018"]


def test_tables_alone_are_weighed_on_others(command, runs, tmp_path):
    test = ",".join(str(run / "predictions_test.parquet") for run in runs)
    val = ",".join(str(run / "predictions_val.parquet") for run in runs)
    out = tmp_path / "out"
    lines = [f"predictions={test}", f"out={out}", "resamples=100", "method=greedy"]
    code, _, err = command(*lines, f"val={val}")
    assert code == 0, err
    assert command(*words(runs, tmp_path / "runs", "method=greedy"))[0] == 0
    assert list(weights(out).values()) == list(weights(tmp_path / "runs").values())
    assert not (out / "bundle").exists()
    code, _, err = command(*lines)
    assert code == 2 and "method=greedy fits weights" in err
    code, _, err = command(*lines, f"val={test}")
    assert code == 2 and "must not be fitted on what they are judged by" in err


def out_of_fold(path, seed, gain, folds=3):
    each = table(seed=3, gain=gain)
    noisy = np.random.default_rng(seed).normal(size=each.logits.shape)
    frame = each.frame.assign(fold=each.groups % folds)
    return write_predictions(path, frame, each.logits + noisy, each.class_names)


def test_out_of_fold_tables_are_weighed_fold_by_fold(command, tmp_path):
    paths = [out_of_fold(tmp_path / f"{n}.parquet", n, gain) for n, gain in enumerate((2.0, 1.0))]
    out = tmp_path / "out"
    lines = [f"predictions={paths[0]},{paths[1]}", f"out={out}", "resamples=100"]
    code, _, err = command(*lines, "method=weights")
    assert code == 0, err
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["ensemble"]["weights_by_fold"]) == {"0", "1", "2"}
    assert metrics["protocol"] == "grouped, out-of-fold"
    assert "fold" in read_predictions(out / "predictions_oof.parquet").frame
    report = (out / "report.html").read_text()
    assert "(best on these images)" in report and "fitted on the other folds" in report
    assert "out-of-fold images" in report and "best on validation" not in report


def test_tables_of_one_fold_have_a_mean_and_no_fitted_weights(command, tmp_path):
    paths = [out_of_fold(tmp_path / f"{n}.parquet", n, 1.0, folds=1) for n in range(2)]
    out = tmp_path / "out"
    lines = [f"predictions={paths[0]},{paths[1]}", f"out={out}", "resamples=100"]
    code, _, err = command(*lines, "method=weights")
    assert code == 2 and "the column fold holds 1" in err and not out.exists()
    assert command(*lines, "method=mean")[0] == 0


def trained_on_test(run):
    test = read_predictions(run / "predictions_test.parquet").frame
    rows = test[["image_id", "group", "label"]].assign(split="train").to_dict("records")
    write_csv(run / "splits.csv", rows, list(rows[0]))


def test_a_member_that_trained_on_what_judges_it_is_refused(command, runs, tmp_path):
    trained_on_test(runs[1])
    code, _, err = command(*words(runs, tmp_path / "out"))
    assert code == 2 and "trained or was chosen on 60 groups of the common test images" in err
    assert not (tmp_path / "out").exists()


def splits_of(run, **seen):
    """Writes a splits.csv: of each part named, (image_id, group) of what stands in it."""
    rows = [
        {"image_id": image, "group": group, "label": "nv", "split": part}
        for part, pairs in seen.items()
        for image, group in pairs
    ]
    write_csv(run / "splits.csv", rows, list(rows[0]))


def others_of(run, split):
    """Other photographs of the lesions of a table."""
    frame = read_predictions(run / f"predictions_{split}.parquet").frame
    return [(f"other {name}", group) for name, group in frame[["image_id", "group"]].to_numpy()]


def called(run, protocol, note=""):
    file = run / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"protocol": protocol, "note": note}))


@pytest.mark.parametrize("protocol", [LEAKY, "leaky, on purpose"])
def test_members_that_are_said_to_leak_may_have_trained_on_other_photographs(
    command, runs, tmp_path, protocol
):
    splits_of(runs[1], train=others_of(runs[0], "test"))
    code, _, err = command(*words(runs, tmp_path / "out"))
    assert code == 2 and "60 groups of the common test images" in err
    called(runs[1], protocol)
    code, _, err = command(*words(runs, tmp_path / "out"))
    assert code == 0, err
    trained_on_test(runs[1])
    code, _, err = command(*words(runs, tmp_path / "out"))
    assert code == 2 and "120 image_ids of the common test images" in err


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_one_member_says_of_its_split_holds_for_all(command, runs, tmp_path, order):
    pair = [runs[number] for number in order]
    called(runs[0], "grouped", "painted images")
    called(runs[1], LEAKY, "few images")
    out = tmp_path / "out"
    code, printed, err = command(*words(pair, out))
    assert code == 0, err
    tables = ",".join(str(run / "predictions_test.parquet") for run in pair)
    code, of_tables, err = command(f"predictions={tables}", f"out={out / 'b'}", "resamples=100")
    assert code == 0, err
    note = "; ".join(("painted images", "few images")[number] for number in order)
    for file in (out / "metrics.json", out / "bundle" / "model.json", out / "b" / "metrics.json"):
        told = json.loads(file.read_text())
        assert (told["protocol"], told["note"]) == (LEAKY, note), file
    for text in (printed, of_tables, (out / "report.html").read_text()):
        assert "too high" in text


def test_members_of_unlike_splits_name_each(command, runs, tmp_path):
    called(runs[1], "by image (no lesion groups known)")
    assert command(*words(runs, tmp_path / "out"))[0] == 0
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())["protocol"]
    assert told == "grouped; by image (no lesion groups known)"


def crossed(path, protocol, folds=2):
    """A cross-validation as its folder tells it: finished folds and their out-of-fold table."""
    for fold in range(folds):
        run = run_folder(path / f"fold_{fold}", protocol=protocol)
        settings = yaml.safe_load(run.config.read_text()) | {"seed": 0, "loss": {"name": "ce"}}
        settings["split"] = {"by": "fold", "folds": folds, "fold": fold, "seed": 0}
        run.config.write_text(yaml.safe_dump(settings))
        run.finished.write_text("{}")
    out_of_fold(path / "predictions_oof.parquet", 0, 1.0, folds)
    write_json(path / PLAN, {})
    return str(path)


def test_of_cross_validations_too_one_leak_is_said_of_all(tmp_path):
    honest, leaky = crossed(tmp_path / "a", "grouped"), crossed(tmp_path / "b", LEAKY)
    for pair in ([honest, leaky], [leaky, honest]):
        assert from_runs(pair).protocol == f"{LEAKY}, out-of-fold"
    assert [from_runs([each]).protocol for each in (honest, leaky)] == ["grouped", LEAKY]


def describe(run, **facts):
    file = run / "bundle" / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_terms_are_those_of_all_that_weigh_anything(command, runs, tmp_path, order):
    describe(runs[0], licence="CC0 1.0", citation="A (2018)", training_data="a")
    describe(runs[1], licence="CC0 1.0; CC BY-NC 4.0", citation="B (2019)", training_data="b")
    describe(runs[2], licence="own", citation="C (2020)", training_data="c")
    out = tmp_path / "out"
    code, _, err = command(*words([runs[n] for n in order], out, "method=weights"))
    assert code == 0, err
    assert [name for name, weight in weights(out).items() if weight == 0] == ["m2"]
    told = json.loads((out / "bundle" / "model.json").read_text())
    assert sorted(told["licence"].split("; ")) == ["CC BY-NC 4.0", "CC0 1.0"]
    assert sorted(told["citation"].split("; ")) == ["A (2018)", "B (2019)"]
    behind = {told["training_data"], *told["weights_provenance"]["trained_on"]}
    assert behind == {"a", "b"} and told["weights_provenance"]["source"].endswith(
        "2 members, see ensemble.json"
    )
    report = (out / "report.html").read_text()
    assert told["licence"] in report and told["citation"] in report and "C (2020)" not in report


def test_the_report_names_the_command_that_was_typed(command, runs, tmp_path):
    out = tmp_path / "dermasense.train"
    assert command(*words(runs, out))[0] == 0
    report = html.unescape((out / "report.html").read_text())
    (typed,) = re.findall("python -m .* resamples=100", report)
    assert typed.startswith("python -m dermasense.ensemble ") and str(out) in typed


def test_images_that_chose_a_member_may_not_fit_the_weights_of_one_that_trained_on_them(
    command, runs, tmp_path
):
    splits_of(runs[1], train=others_of(runs[0], "val"))
    code, _, err = command(*words(runs, tmp_path / "out"))
    assert code == 2 and "60 groups of the common validation images" in err
    splits_of(runs[1], val=others_of(runs[0], "val"))  # it may be chosen by what all are chosen by
    code, _, err = command(*words(runs, tmp_path / "out"))
    assert code == 0, err


def test_an_image_counts_as_what_the_member_that_saw_most_of_it_saw(tmp_path):
    runs = [RunFolder(tmp_path / name) for name in "ab"]
    parts = dict.fromkeys(("train", "val", "test"))
    seen = [dict(zip(parts, places, strict=True)) for places in ("xyz", "zxy")]
    for run, each in zip(runs, seen, strict=True):
        run.path.mkdir()
        splits_of(run.path, **{part: [(name, f"of {name}")] for part, name in each.items()})
    for pair in (runs, runs[::-1]):
        found = merged_splits(pair)
        assert found["image_id"].tolist() == ["x", "y", "z"]
        assert found["split"].tolist() == ["train", "val", "train"]


def test_members_of_other_test_images_make_a_bundle_that_is_not_judged(command, runs, tmp_path):
    path = runs[1] / "predictions_test.parquet"
    each = read_predictions(path)
    half = each.rows(np.arange(40))
    write_predictions(path, half.frame, half.logits, half.class_names)
    code, printed, err = command(*words(runs, tmp_path / "out"))
    assert code == 0, err
    assert "Not judged: its members have different test images" in printed
    assert (tmp_path / "out" / "bundle" / "ensemble.json").is_file()
    assert not (tmp_path / "out" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["method=stacking"], "method=stacking is unknown"),
        (["average=mean"], "average=mean is unknown"),
        (["metric=auc"], "metric=auc is unknown"),
        (["resamples=5"], "resamples=5"),
        (["predictions=a,b"], "not both"),
        (["runs=null"], "name the members by runs="),
        (["runs=/nowhere,/other"], "/nowhere: no such file or folder"),
        (["run=x"], "did you mean 'runs'?"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(command, tmp_path, more, sentence):
    base = [] if more[0].startswith("run") else ["runs=/a,/b"]
    code, _, err = command(*base, *more)
    assert code == 2 and sentence in err and "Traceback" not in err
