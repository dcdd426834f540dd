"""Accuracy against the share answered: known curves."""

import numpy as np
import pandas as pd
import pytest

from dermasense.evaluation.coverage import coverage
from dermasense.evaluation.predictions import Predictions


def table(confidence, right, groups=None):
    n = len(right)
    labels = ["a" if ok else "b" for ok in right]
    groups = [f"g{i}" for i in range(n)] if groups is None else groups
    frame = pd.DataFrame({"image_id": [str(i) for i in range(n)], "group": groups, "label": labels})
    share = np.array(confidence)
    return Predictions(frame, np.log(np.stack([share, 1 - share], axis=1)), ("a", "b"))


def test_the_surest_come_first():
    curve = coverage(table([0.6, 0.9, 0.8, 0.7], [False, True, True, False]))
    assert curve.share == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert curve.accuracy == pytest.approx([1.0, 1.0, 2 / 3, 0.5])
    assert curve.threshold == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert curve.area == pytest.approx((1 + 1 + 2 / 3 + 0.5) / 4)


def test_equal_confidences_cannot_be_told_apart():
    right = [True, False, False, True]
    one, other = (coverage(table([0.8] * 4, order)).accuracy for order in (right, right[::-1]))
    assert one == pytest.approx(other) and one == pytest.approx([0.5] * 4)


def test_the_band_holds_the_curve_and_is_missing_for_one_group():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.55, 0.99, 400)
    many = coverage(table(confidence, rng.random(400) < confidence))
    assert (many.low <= many.accuracy + 1e-9).all() and (many.accuracy <= many.high + 1e-9).all()
    single = coverage(table([0.9, 0.8], [True, False], groups=["g", "g"]))
    assert single.as_dict()["low"] == [None, None]
