"""metrics.json: the values of `summarise` with intervals; None where a metric is not defined."""

import json

import numpy as np
import pytest

from dermasense.errors import DermaSenseError
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.decisions.lac import Lac
from dermasense.evaluation.fairness.audit import by_attribute
from dermasense.evaluation.judge import compare, judge
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions
from tests.reporting.run_on_disk import table

FAST = {"resamples": 100}


def test_values_are_those_of_summarise_each_with_n_and_interval():
    predictions = table()
    judged, plain = (
        judge(predictions, protocol="grouped", **FAST),
        summarise(predictions, split_protocol="grouped"),
    )
    for name in ("top1", "top2", "balanced_accuracy", "macro_f1", "kappa", "auroc_macro", "ece"):
        metric = judged[name]
        assert metric["value"] == pytest.approx(plain[name])
        assert metric["low"] <= metric["value"] <= metric["high"] and metric["n"] == 120
    for name, row in judged["per_class"].items():
        assert row["n"] == plain["per_class"][name]["n"] == row["recall"]["n"]
        assert row["recall"]["value"] == pytest.approx(plain["per_class"][name]["recall"])
    assert judged["malignant_auroc"]["n"] == sum(
        row["n"] for name, row in judged["per_class"].items() if name in ("mel", "bcc", "akiec")
    )
    assert len(judged["baselines"]) == 2
    json.dumps(judged, allow_nan=False)


def test_what_is_not_defined_is_none():
    whole = table()
    one = judge(whole.rows(whole.labels == 0), protocol="grouped", **FAST)
    assert one["kappa"]["value"] is None and one["auroc_macro"]["value"] is None
    assert one["per_class"]["nv"]["recall"]["value"] is None
    single = judge(whole.rows(np.array([3])), protocol="grouped", **FAST)
    assert single["macro_f1"]["low"] is None and single["n"] == 1
    json.dumps([one, single], allow_nan=False)


def test_a_temperature_mends_an_over_sure_model():
    sure = table().with_logits(table().logits * 8)
    validation = table(seed=1).with_logits(table(seed=1).logits * 8)
    after = judge(sure, protocol="grouped", validation=validation, **FAST)["after_temperature"]
    assert after["temperature"] > 4
    assert after["nll"]["value"] < judge(sure, protocol="grouped", **FAST)["nll"]["value"]


def test_it_says_whose_shares_of_classes_the_blind_answers_have():
    alone = judge(table(), protocol="grouped", **FAST)
    told = judge(table(), protocol="grouped", counts=[10] * 7, **FAST)
    assert alone["baselines_from"] == "judged images"
    assert told["baselines_from"] == "training images"


def test_a_group_in_two_folds_is_refused_unless_leaky():
    plain = table()
    frame = plain.frame.assign(fold=np.arange(len(plain)) % 2)
    folds = Predictions(frame, plain.logits, plain.class_names)
    with pytest.raises(DermaSenseError, match="more than one fold"):
        judge(folds, protocol="grouped", **FAST)
    assert judge(folds, protocol="leaky (image-level split)", **FAST)["n"] == 120


def test_pairs_are_corrected_and_a_model_does_not_differ_from_itself():
    good, bad, other = table(gain=4), table(gain=0.5), table(seed=5)
    rows = compare([("good", good), ("bad", bad), ("same", good)], **FAST)
    by_pair = {(row["first"], row["second"]): row for row in rows}
    worse = by_pair["good", "bad"]
    assert worse["differences"]["top1"]["high"] < 0
    assert worse["level"] == pytest.approx(1 - 0.05 / 3, abs=1e-4)
    assert worse["mcnemar"]["p_holm"] == pytest.approx(2 * worse["mcnemar"]["p"])
    assert worse["delong"]["p_holm"] == pytest.approx(2 * worse["delong"]["p"])
    assert worse["delong"]["p_holm"] < 0.01
    (alone,) = compare([("good", good), ("bad", bad)], **FAST)
    one, three = alone["differences"]["nll"], worse["differences"]["nll"]
    assert three["low"] < one["low"] and one["high"] < three["high"]
    assert by_pair["good", "same"]["mcnemar"]["p"] is None
    assert by_pair["good", "same"]["differences"]["top1"]["value"] == 0
    far = other.rows(np.arange(50))
    assert "different images" in compare([("a", good), ("b", far)], **FAST)[0]["not_compared"]


def test_attributes_have_n_and_a_missing_value_is_no_group():
    plain = table()
    age = np.where(np.arange(120) < 10, np.nan, np.arange(120) % 80)
    frame = plain.frame.assign(age=age)
    found = by_attribute(
        Predictions(frame, plain.logits, plain.class_names), least=20, resamples=100
    )
    assert {value: row["n"] for value, row in found["sex"]["values"].items()} == {
        "female": 60,
        "male": 60,
    }
    assert found["age"]["unknown"] == 10
    ages = found["age"]["values"]
    assert sum(row["n"] for row in ages.values()) + found["age"]["too_few"] == 110
    assert set(ages) <= {"0 to 19", "20 to 39", "40 to 59", "60 to 79"}
    right = plain.rows((frame["sex"] == "male").to_numpy())
    share = (right.logits.argmax(axis=1) == right.labels).mean()
    assert found["sex"]["values"]["male"]["top1"]["value"] == pytest.approx(share)


def test_the_temperature_is_validations_and_never_the_judged_images_own():
    validation, test = table(seed=1), table(seed=2)
    test = test.with_logits(6 * test.logits)
    fitted = Temperature().fit(validation)
    found = judge(test, protocol="grouped", validation=validation, **FAST)
    assert found["after_temperature"]["temperature"] == pytest.approx(fitted.value)
    known = Lac().fit(fitted.apply(validation)).threshold
    assert found["decisions"]["lac"]["fitted"]["threshold"] == pytest.approx(known)
