"""What model.json says about answers: each calibrator's own numbers, and sentences where not."""

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
    assert decision.sets(rows) == [(2, 0), (1,)]
    assert Decision(NAMES, set_threshold=0.1).sets(rows) == [(), ()]


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"calibration": {"name": "platt"}}, "platt"),
        ({"calibration": {"name": "vector"}}, "lacks 'classes'"),
        ({"decision": {"name": "laq", "threshold": 0.1}}, "laq"),
        ({"decision": {"name": "lac"}}, r"decision\.threshold"),
        ({"decision": {"referral": "often"}}, r"decision\.referral"),
    ],
)
def test_settings_that_make_no_sense_are_refused(info, words):
    with pytest.raises(DermaSenseError, match=words):
        Decision.of(NAMES, {"temperature": 1.0, **info})
