"""What model.json says about answers: each calibrator's own numbers, and sentences where not."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.calibration import build_calibrator
from dermasense.evaluation.decisions.lac import Lac
from dermasense.evaluation.decisions.referral import Referral
from dermasense.evaluation.decisions.risk_control import RiskControl
from dermasense.evaluation.predictions import Predictions
from dermasense.inference.decision import Decision

NAMES = ("a", "b", "c")


def table():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    logits = rng.normal(size=(200, 3)) + 2 * np.eye(3)[labels]
    ids = [f"i{n}" for n in range(200)]
    frame = pd.DataFrame({"image_id": ids, "group": ids, "label": [NAMES[c] for c in labels]})
    return Predictions(frame, logits, NAMES)


@pytest.mark.parametrize("name", ["temperature", "vector", "prior_shift"])
def test_a_stored_calibration_is_the_calibrator_itself(name):
    fitted = build_calibrator(name).fit(table())
    decision = Decision.of(NAMES, {"temperature": 3.0, "calibration": fitted.as_dict()})
    expected = softmax(fitted.apply(table()).logits, axis=1)
    np.testing.assert_allclose(decision.probabilities(table().logits), expected, atol=1e-12)
    assert decision.is_calibrated
    turned = Decision.of(NAMES[::-1], {"temperature": 3.0, "calibration": fitted.as_dict()})
    found = turned.probabilities(table().logits[:, ::-1])
    np.testing.assert_allclose(found[:, ::-1], expected, atol=1e-12)


@pytest.mark.parametrize("none", [{}, {"calibration": None}])
def test_without_a_calibration_the_logits_are_divided_by_the_temperature(none):
    logits = table().logits
    plain = Decision.of(NAMES, {"temperature": 1.0, **none})
    np.testing.assert_array_equal(plain.logits(logits), logits)
    assert not plain.is_calibrated
    warm = Decision.of(NAMES, {"temperature": 2.0, **none})
    np.testing.assert_array_equal(warm.logits(logits), logits / 2)
    assert warm.is_calibrated


def test_set_members_are_ordered_and_the_set_may_be_empty():
    rows = np.array([[0.3, 0.1, 0.6], [0.24, 0.76, 0.0]])
    logits = np.log(rows + 1e-12)

    def said(*methods):
        decision = [each.as_dict() for each in methods]
        return Decision.of(NAMES, {"temperature": 1.0, "decision": decision}).judge(logits)

    assert said(Lac(class_names=NAMES, threshold=0.75)).sets == [(2, 0), (1,)]
    assert said(Lac(class_names=NAMES, threshold=0.1)).sets == [(), ()]
    assert said().sets == [None, None]
    assert said(Referral(class_names=NAMES, threshold=0.7)).refers == [True, False]


def test_sets_referral_and_alarms_read_the_calibrated_probabilities():
    methods = [
        Lac(class_names=NAMES, threshold=0.7),
        Referral(class_names=NAMES, threshold=0.8),
        RiskControl(class_names=NAMES, classes=("a",), threshold=0.2),
    ]
    info = {"temperature": 4.0, "decision": [each.as_dict() for each in methods]}
    said = Decision.of(NAMES, info).judge(np.array([[0.0, 4.0, -99.0]]))
    # raw .018 and .982, which would be no alarm and no referral; at temperature 4 .269 and .731
    assert said.probabilities[0] == pytest.approx([0.269, 0.731, 0], abs=1e-3)
    assert (said.sets, said.refers, said.alarms) == ([(1,)], [True], [True])


@pytest.mark.parametrize("shape", ["list", "by kind", "one"])
def test_fitted_methods_answer_as_they_do_themselves(shape):
    decisions = pytest.importorskip("dermasense.evaluation.decisions")
    pytest.importorskip("mapie")
    from dermasense.evaluation.decisions.class_conditional import ClassConditional
    from dermasense.evaluation.decisions.cost import Cost

    hot = table().with_logits(table().logits * 3)
    fitted = [
        ClassConditional().fit(hot),
        Referral(accuracy=None, share=0.7).fit(hot),
        RiskControl(classes=("a",)).fit(hot),
        Cost(malignant=("a",)).fit(hot),
    ][: 1 if shape == "one" else 4]
    entries = json.loads(json.dumps([each.as_dict() for each in fitted]))
    by_kind = {each.kind: entry for each, entry in zip(fitted, entries, strict=True)}
    stored = {"list": entries, "by kind": by_kind, "one": entries[0]}[shape]
    said = Decision.of(NAMES, {"temperature": 1.0, "decision": stored}).judge(hot.logits)
    expected = fitted[0].apply(hot.logits)
    assert [set(each) for each in said.sets] == [set(np.flatnonzero(e)) for e in expected]
    if shape == "one":
        assert said.refers == [None] * 200 and not any(said.alarms)
        return
    assert said.refers == fitted[1].apply(hot.logits).tolist()
    assert said.alarms == fitted[2].apply(hot.logits).tolist()
    np.testing.assert_array_equal(said.answers, fitted[3].apply(hot.logits))
    assert decisions.restore(entries[0]) is not None
    with pytest.raises(DermaSenseError, match="in this order"):
        Decision.of(NAMES[::-1], {"temperature": 1.0, "decision": stored})


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"calibration": {"name": "platt"}}, "platt"),
        ({"calibration": {"name": "vector"}}, "lacks 'classes'"),
        ({"decision": {"name": "laq", "threshold": 0.1}}, "laq"),
        ({"decision": {"name": "lac", "threshold": 0.7, "referral": 0.6}}, "argument 'referral'"),
        ({"decision": {"name": "lac"}}, "fitted on the classes"),
        ({"decision": {"referral": 0.6}}, r"decision holds 0\.6"),
        ({"decision": True}, "decision is True"),
        ({"calibration": "temperature"}, "calibration is 'temperature'"),
        ({"calibration": {"name": "temperature", "value": 0}}, "temperature is 0, not above 0"),
        ({"temperature": 0.0}, "temperature is 0, not above 0"),
        ({"temperature": "1.5"}, "temperature is '1.5', not a number"),
        ({"calibration": {"name": "temperature", "value": float("nan")}}, "temperature is nan"),
        ({"calibration": {"name": "prior_shift", "offsets": {"a": [1]}}}, "calibration.offsets is"),
        ({"decision": [{"name": "lac", "class_names": NAMES, "threshold": "x"}]}, "be applied"),
        ({"decision": [{"name": "lac", "class_names": None}]}, "be applied"),
    ],
)
def test_settings_that_make_no_sense_are_refused(info, words):
    with pytest.raises(DermaSenseError, match=words):
        Decision.of(NAMES, {"temperature": 1.0, **info})
