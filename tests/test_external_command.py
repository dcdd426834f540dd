"""The external command as a person meets it, on pictures of noise."""

import functools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from dermasense import external
from dermasense.evaluation.predictions import Predictions, read_predictions, write_predictions
from dermasense.inference.ensemble_writing import save_ensemble
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import build_classifier
from tests import fakes


@pytest.fixture
def command(run_command):
    return functools.partial(run_command, external)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder: an untrained bundle, a split and an internal test table."""
    monkeypatch.setattr("timm.create_model", fakes.stub_backbone)
    model, spec, _ = build_classifier(
        num_classes=7, backbone="tf_efficientnet_lite0", weights="none",
        head={"name": "linear"}, image_size=32,
    )  # fmt: skip
    folder = tmp_path / "run"
    info = {"training_data": "ham10000", "protocol": "grouped"}
    names = (*fakes.HAM_CLASSES[1:], fakes.HAM_CLASSES[0])  # an order of its own
    save_bundle(folder / "bundle", model, spec, names, info)
    rng = np.random.default_rng(0)
    ids = [f"t{i}" for i in range(70)]
    frame = pd.DataFrame({"image_id": ids, "group": ids, "label": [names[i % 7] for i in range(70)],
                          "sex": "male"})  # fmt: skip
    write_predictions(folder / "predictions_test.parquet", frame, rng.normal(size=(70, 7)), names)
    frame.assign(split="test").to_csv(folder / "splits.csv", index=False)
    return folder


@pytest.fixture
def words(run, tmp_path):
    root = fakes.fake_isic2018(tmp_path / "isic")
    return [f"bundle={run}", f"data.root={root}", "resamples=100"]


def test_an_ensemble_is_judged_beside_a_table_that_is_named(command, run, words, tmp_path):
    members = [(name, run / "bundle", 0.5) for name in "ab"]
    both = save_ensemble(tmp_path / "both", members, average="log")
    internal = f"internal={run / 'predictions_test.parquet'}"
    code, _, err = command(f"bundle={both}", internal, f"out={tmp_path / 'out'}", *words[1:])
    assert code == 0, err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["n"] == 7 and metrics["internal"]["n"] == 70
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "ensemble of 2 at 32 px, trained on" in page


def test_it_is_judged_as_the_bundle_calibrates_it_where_asked(command, run, words, tmp_path):
    code, _, err = command(*words, "calibrated=true", f"out={tmp_path / 'none'}")
    assert code == 2 and f"calibrated=true: {run / 'bundle'} has no calibration; fit one" in err
    described = run / "bundle" / "model.json"
    known = json.loads(described.read_text())
    offsets = {name: 20.0 * (name == "df") for name in known["class_names"]}
    known["calibration"] = {"name": "prior_shift", "strength": 1.0, "offsets": offsets}
    described.write_text(json.dumps(known))
    found, tables = {}, {}
    for name in ("false", "true"):
        code, _, err = command(*words, f"calibrated={name}", f"out={tmp_path / name}")
        assert code == 0, err
        found[name] = json.loads((tmp_path / name / "metrics.json").read_text())
        tables[name] = read_predictions(tmp_path / name / "predictions.parquet")
        page = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        judged = "Judged as its bundle calibrates it, and the internal table by the same"
        assert (judged in page) == (name == "true") == found[name]["calibrated"]
    assert np.array_equal(tables["true"].logits, tables["false"].logits)
    for part in (found["true"], found["true"]["internal"]):  # every answer is df
        assert part["top1"]["value"] == pytest.approx(1 / 7)
        assert part["per_class"]["df"]["recall"]["value"] == 1
    assert found["false"]["nll"]["value"] < found["true"]["nll"]["value"]
    answers = pd.read_csv(tmp_path / "true" / "isic_submission.csv")
    assert (answers["DF"] > 0.99).all()
    for name, ending in (("false", ""), ("true", "_calibrated")):
        assert command(*words, f"calibrated={name}", "report.images=false")[0] == 0
        assert (run / f"external_isic2018{ending}" / "metrics.json").is_file()


def test_members_of_two_sizes_answer_as_they_do_one_by_one(command, run, words, tmp_path):
    small, spec, _ = build_classifier(
        num_classes=7, backbone="tf_efficientnet_lite0", weights="none",
        head={"name": "linear"}, image_size=24,
    )  # fmt: skip
    second = save_bundle(tmp_path / "second", small, spec, fakes.HAM_CLASSES, {"protocol": "p"})
    members = [("a", run / "bundle", 0.5), ("b", second, 0.5)]
    both = save_ensemble(tmp_path / "both", members, average="probability")
    for name, place in (("a", run / "bundle"), ("b", second), ("both", both)):
        code, _, err = command(f"bundle={place}", f"out={tmp_path / name}", *words[1:])
        assert code == 0, err
    found = {}
    for name in ("a", "b", "both"):
        table = read_predictions(tmp_path / name / "predictions.parquet", fakes.HAM_CLASSES)
        found[name] = softmax(table.logits.astype(float), axis=1)
    assert found["both"] == pytest.approx((found["a"] + found["b"]) / 2, abs=1e-4)
    assert np.abs(found["a"] - found["b"]).max() > 1e-3
    page = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    assert "ensemble of 2 at 32 and 24 px, trained on" in page


def test_predictions_metrics_report_and_submission_are_written(command, run, words):
    code, out, err = command(*words)
    assert code == 0, err
    folder = run / "external_isic2018"
    table = read_predictions(folder / "predictions.parquet")
    assert len(table) == 7 and table.class_names[-1] == "akiec"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["n"] == 7 and metrics["internal"]["n"] == 70
    change = metrics["change"]["top1"]
    assert change["value"] == pytest.approx(
        metrics["top1"]["value"] - metrics["internal"]["top1"]["value"]
    )
    assert change["low"] <= change["value"] <= change["high"]
    assert metrics["by_attribute"] == {}  # it names no sex; the internal one does
    report = (folder / "report.html").read_text()
    assert "Beside the internal test" in report and "for evaluation only" in report.lower()
    assert list(pd.read_csv(folder / "isic_submission.csv"))[:2] == ["image", "MEL"]
    scores = json.loads((folder / "isic_scores.json").read_text())
    assert scores["balanced_accuracy"] == pytest.approx(metrics["balanced_accuracy"]["value"])
    assert next(iter(scores["classes"])) == "MEL" and 0 <= scores["classes"]["MEL"]["auc"] <= 1
    assert "difference" in out and "not a medical device" in out


def test_what_was_left_out_and_that_no_lesion_is_known_stand_below_the_numbers(
    command, run, words, tmp_path
):
    labels = pd.read_csv(tmp_path / "isic" / "labels.csv")
    paths = [f"images/{each}" for each in labels["image_id"]]
    table = pd.DataFrame({"path": paths, "label": [*labels["dx"][:-1], "wart"]})
    table.to_csv(tmp_path / "isic" / "own.csv", index=False)
    own = ["data=csv", "data.file=own.csv", "data.map={wart: null}", f"out={tmp_path / 'o'}"]
    code, out, err = command(*words, *own)
    assert code == 0, err
    for text in (out, (tmp_path / "o" / "report.html").read_text(encoding="utf-8")):
        assert "left out by data.map:" in text and "wart" in text
        assert "every image counts as its own lesion" in text and "the split" not in text


def test_means_over_other_classes_are_not_subtracted(command, run, words):
    path = run / "predictions_test.parquet"
    table = read_predictions(path)
    kept = table.frame["label"].isin(["mel", "nv"]).to_numpy()  # the external set holds all seven
    names = table.class_names
    write_predictions(path, table.frame[kept].reset_index(drop=True), table.logits[kept], names)
    assert command(*words)[0] == 0
    change = json.loads((run / "external_isic2018" / "metrics.json").read_text())["change"]
    assert "top1" in change and "recall/mel" in change
    assert not {"balanced_accuracy", "macro_f1", "auroc_macro"} & set(change)
    assert "are not subtracted" in (run / "external_isic2018" / "report.html").read_text()


def test_the_same_pictures_get_the_same_logits_as_through_the_predictor(command, run, words):
    from dermasense.inference.predictor import Predictor

    assert command(*words)[0] == 0
    table = read_predictions(run / "external_isic2018" / "predictions.parquet")
    predictor = Predictor.of(run)
    root = words[1].partition("=")[2]
    pixels = [predictor.pixels(f"{root}/images/{each}.jpg") for each in table.frame["image_id"]]
    np.testing.assert_allclose(table.logits, predictor.logits(pixels), atol=1e-4)


def test_without_an_internal_table_the_external_row_stands_alone(command, run, words, tmp_path):
    (run / "predictions_test.parquet").unlink()
    code, out, err = command(*words, f"out={tmp_path / 'o'}", "report.images=false")
    assert code == 0, err
    metrics = json.loads((tmp_path / "o" / "metrics.json").read_text())
    assert "internal" not in metrics and "difference" not in out


def test_views_that_the_internal_table_lacks_are_not_set_beside_it(command, run, words):
    code, out, err = command(*words, "tta=flips")
    assert code == 0 and "made with tta.views=none, not flips" in err
    assert "difference" not in out


def test_the_views_are_those_of_the_bundle_unless_others_are_asked_for(command, run, words):
    described, metrics = run / "bundle" / "model.json", run / "metrics.json"
    known = json.loads(described.read_text())
    described.write_text(json.dumps({**known, "tta": {"views": "flips", "average": "log"}}))
    metrics.write_text(json.dumps({"test_time_augmentation": "flips"}))
    code, out, err = command(*words)
    assert code == 0 and "tta.views" not in err and "difference" in out
    code, out, err = command(*words, "tta=none")
    assert "made with tta.views=flips, not none" in err and "difference" not in out
    assert "tta.views=none tta.average=log is not what the bundle was tested with" in err


def test_an_internal_table_that_shares_images_is_said_and_not_compared(command, run, words):
    own = read_predictions(run / "predictions_test.parquet")
    ids = own.frame["image_id"].where(own.frame.index > 0, "x_mel")
    shared = Predictions(own.frame.assign(image_id=ids), own.logits, own.class_names)
    write_predictions(run / "predictions_test.parquet", shared.frame, shared.logits,
                      shared.class_names)  # fmt: skip
    code, out, err = command(*words)
    assert code == 0, err
    assert "not compared: The image x_mel stands in both" in out


def test_mistakes_are_a_sentence(command, run, words, tmp_path):
    assert "bundle= is needed" in command()[2]
    labels = tmp_path / "isic" / "labels.csv"
    truth = labels.read_text()
    labels.write_text(truth.replace("x_df,df", "x_df,scc"))
    code, _, err = command(*words)
    assert code == 2 and "'scc' (1 images) is none of the classes" in err
    assert command(*words, "data.map={scc: df}")[0] == 0
    labels.write_text(truth)
    fakes.fake_ham(tmp_path / "ham", per_class=1)
    frame = pd.read_csv(tmp_path / "ham" / "HAM10000_metadata.csv")
    frame.assign(split="test", group="g").to_csv(run / "splits.csv", index=False)
    own = [words[0], "data=ham10000", f"data.root={tmp_path / 'ham'}"]
    code, _, err = command(*own)
    assert code == 2 and "judge its own test by python -m dermasense.evaluate" in err
    assert command("resamples=5", words[0])[0] == 2


def test_the_internal_table_is_not_written_over(command, run, words, tmp_path):
    (run / "predictions_test.parquet").rename(tmp_path / "predictions.parquet")
    before = (tmp_path / "predictions.parquet").read_bytes()
    internal = f"internal={tmp_path / 'predictions.parquet'}"
    code, _, err = command(*words, internal, f"out={tmp_path}")
    assert code == 2 and "predictions.parquet is read, and would be written over" in err
    assert (tmp_path / "predictions.parquet").read_bytes() == before
    (run / "config.yaml").write_text("seed: 1\n")
    code, _, err = command(*words, f"out={run}")
    assert code == 2 and f"{run} holds a run already; name another folder" in err
    assert not (run / "metrics.json").exists()


def test_the_real_external_set_is_read_whole(command, run, real_data, tmp_path):
    root = real_data("isic2018_external")
    code, _, err = command(f"bundle={run}", f"data.root={root}", "resamples=100")
    assert code == 0, err
    table = read_predictions(run / "external_isic2018" / "predictions.parquet")
    assert len(table) == len(pd.read_csv(root / "labels.csv"))


def test_a_bundle_of_the_hub_is_judged_and_its_cache_left_alone(
    call_command, here, run, words, tmp_path, monkeypatch
):
    there = (run / "bundle").rename(tmp_path / "snapshot")
    monkeypatch.setattr("dermasense.models.hub_bundle._fetched", lambda _: there)
    code, _, err = call_command(external, "bundle=hf://owner/name", *words[1:])
    assert code == 0, err
    assert (here / "outputs" / "owner_name" / "external_isic2018" / "report.html").is_file()
    assert sorted(path.name for path in there.iterdir()) == ["model.json", "model.safetensors"]


def test_its_own_test_part_is_left_to_evaluate_by_the_folder_of_the_run(command, run, tmp_path):
    root = fakes.fake_ham(tmp_path / "ham", per_class=3)
    frame = pd.read_csv(root / "HAM10000_metadata.csv")
    names = {"lesion_id": "group", "dx": "label"}
    frame.rename(columns=names).assign(split="test").to_csv(run / "splits.csv", index=False)
    words = ["data=ham10000", f"data.root={root}", "resamples=100"]
    code, _, err = command(f"bundle={run}", *words)
    assert code == 2 and f"dermasense.evaluate predictions={run}, or name another data set" in err
