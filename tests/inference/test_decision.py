"""What model.json says about answers: each calibrator's own numbers, and sentences where not."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.calibration import build_calibrator
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


def test_set_members_are_ordered_and_the_set_may_be_empty():
    decision = Decision(NAMES, set_threshold=0.75)
    rows = np.array([[0.3, 0.1, 0.6], [0.24, 0.76, 0.0]])
    logits = np.log(rows + 1e-12)
    assert decision.judge(logits).sets == [(2, 0), (1,)]
    assert Decision(NAMES, set_threshold=0.1).judge(logits).sets == [(), ()]
    assert Decision(NAMES).judge(logits).sets == [None, None]
    assert Decision(NAMES, referral=0.7).judge(logits).refers == [True, False]


@pytest.mark.parametrize("shape", ["list", "by kind", "one"])
def test_fitted_methods_answer_as_they_do_themselves(shape):
    decisions = pytest.importorskip("dermasense.evaluation.decisions")
    pytest.importorskip("mapie")
    from dermasense.evaluation.decisions.class_conditional import ClassConditional
    from dermasense.evaluation.decisions.cost import Cost
    from dermasense.evaluation.decisions.referral import Referral
    from dermasense.evaluation.decisions.risk_control import RiskControl

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
        ({"decision": {"name": "lac"}}, r"decision\.threshold"),
        ({"decision": {"referral": "often"}}, r"decision\.referral"),
        ({"decision": {"referral": float("nan")}}, r"decision\.referral"),
        ({"decision": {"referral": True}}, r"decision\.referral"),
        ({"decision": True}, "decision is True"),
        ({"calibration": "temperature"}, "calibration is 'temperature'"),
        ({"calibration": {"name": "temperature", "value": 0}}, "calibration.value is 0"),
        ({"calibration": {"name": "temperature", "value": float("nan")}}, "calibration.value"),
        ({"calibration": {"name": "prior_shift", "offsets": {"a": [1]}}}, "calibration.offsets is"),
        ({"decision": [{"name": "lac", "class_names": NAMES, "threshold": "x"}]}, "be applied"),
        ({"decision": [{"name": "lac", "class_names": None}]}, "be applied"),
    ],
)
def test_settings_that_make_no_sense_are_refused(info, words):
    with pytest.raises(DermaSenseError, match=words):
        Decision.of(NAMES, {"temperature": 1.0, **info})
