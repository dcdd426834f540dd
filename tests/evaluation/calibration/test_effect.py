"""What a calibration leaves, counted again by hand, and the sentences on it."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from dermasense.evaluation.calibration.effect import effect, left_over
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.predictions import Predictions


def table(logits, labels):
    """Two classes; four images of women, then four of men, and so on."""
    frame = pd.DataFrame(
        {
            "image_id": range(len(labels)),
            "group": range(len(labels)),
            "label": np.array(["a", "b"])[labels],
            "sex": np.resize(["f"] * 4 + ["m"] * 4, len(labels)),
        }
    )
    return Predictions(frame, logits, ("a", "b"))


def test_what_is_left_is_told_with_its_sign():
    labels = np.resize([0, 0, 0, 1], 400)
    logits = np.stack([np.zeros(400), np.resize([0.1, -0.1], 400)], axis=1)
    logits[np.resize([False] * 4 + [True] * 4, 400), 1] = 3.0  # of men b is said, too surely
    test = table(logits, labels)
    found = effect(Temperature(2.0), test, resamples=200)
    right = logits.argmax(axis=1) == labels
    nll = {}
    for key, p in (("before", softmax(logits, axis=1)), ("after", softmax(logits / 2, axis=1))):
        nll[key] = -np.log(p[np.arange(400), labels]).mean()
        for code, name in enumerate("ab"):
            known = p[:, code].mean() - (labels == code).mean()
            assert found["classes"][name][key]["value"] == pytest.approx(known)
        for sex in "fm":
            own, row = (test.frame["sex"] == sex).to_numpy(), found["groups"][f"sex {sex}"]
            known = p[own].max(axis=1).mean() - right[own].mean()
            assert row[key]["value"] == pytest.approx(known) and row["n"] == 200
    assert found["change"]["nll"]["value"] == pytest.approx(nll["after"] - nll["before"])
    words = " ".join(left_over(found))
    assert "a is predicted less often than it occurs" in words
    assert "b is predicted more often than it occurs" in words
    assert "sex m is answered too sure" in words


def test_where_nothing_is_left_nothing_is_told():
    fair = table(np.zeros((400, 2)), np.resize([0, 1], 400))
    assert left_over(effect(Temperature(2.0), fair, resamples=200)) == []
