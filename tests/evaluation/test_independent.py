"""Differences between two sets of images: known answers, direction, coverage, refusals."""

import numpy as np
import pandas as pd
import pytest

from dermasense.errors import DermaSenseError
from dermasense.evaluation.independent import independent_differences
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions

NAMES = ("a", "b", "c")


def table(n, share, seed, prefix="i", per_group=1):
    """n images, answered right with a probability of `share`."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    groups = np.arange(n) // per_group
    right = rng.random(n) < share
    answers = np.where(right, labels, (labels + rng.integers(1, 3, n)) % 3)
    logits = rng.normal(0, 0.1, (n, 3))
    logits[np.arange(n), answers] += 2
    frame = pd.DataFrame(
        {
            "image_id": [f"{prefix}{i}" for i in range(n)],
            "group": [f"{prefix}{g}" for g in groups],
            "label": [NAMES[label] for label in labels],
        }
    )
    return Predictions(frame, logits, NAMES)


def test_the_value_is_second_minus_first_and_the_width_that_of_two_proportions():
    inside, outside = table(1000, 0.85, 1), table(600, 0.70, 2, "x")
    found = independent_differences(inside, outside, resamples=2000, ranking=False)
    one, two = (summarise(each, split_protocol="p") for each in (inside, outside))
    for name in ("top1", "balanced_accuracy", "nll"):
        assert found[name].value == pytest.approx(two[name] - one[name])
    p, q = one["top1"], two["top1"]
    wald = 1.96 * np.sqrt(p * (1 - p) / 1000 + q * (1 - q) / 600)
    assert found["top1"].low == pytest.approx(q - p - wald, abs=0.006)
    assert found["top1"].high == pytest.approx(q - p + wald, abs=0.006)
    assert (found["top1"].n, found["recall/a"].n) == (
        1600,
        int((inside.labels == 0).sum() + (outside.labels == 0).sum()),
    )


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(40):
        one, two = table(150, 0.8, 3 * seed), table(100, 0.7, 3 * seed + 1, "x")
        found = independent_differences(one, two, resamples=200, ranking=False)["top1"]
        held += found.low <= -0.1 <= found.high
    assert held >= 34  # of 40 at 95 %: 38 expected, 33 or fewer has p < .02


def test_one_seed_repeats_and_swapping_turns_the_sign():
    one, two = table(200, 0.8, 1), table(150, 0.7, 2, "x")
    found = independent_differences(one, two, resamples=200)
    assert found == independent_differences(one, two, resamples=200)
    back = independent_differences(two, one, resamples=200)
    assert back["auroc_macro"].value == pytest.approx(-found["auroc_macro"].value)


def test_a_class_that_one_table_lacks_is_not_defined():
    one, two = table(200, 0.8, 1), table(200, 0.7, 2, "x")
    found = independent_differences(one, two.rows(two.labels != 2), resamples=100)
    assert found["recall/c"].value is None and found["recall/a"].low is not None


def test_shared_images_groups_and_other_classes_are_refused():
    one = table(50, 0.8, 1)
    with pytest.raises(DermaSenseError, match="The image i0 stands in both tables"):
        independent_differences(one, one)
    other = table(50, 0.8, 1, "x")
    shared = Predictions(other.frame.assign(group=one.frame["group"]), other.logits, NAMES)
    with pytest.raises(DermaSenseError, match="The group i0 stands in both tables"):
        independent_differences(one, shared)
    renamed = Predictions(other.frame.replace("c", "d"), other.logits, ("a", "b", "d"))
    with pytest.raises(DermaSenseError, match="classes"):
        independent_differences(one, renamed)


def test_a_higher_level_widens_the_interval():
    sets = table(200, 0.8, 1), table(200, 0.7, 2, "x")
    usual, wide = (
        independent_differences(*sets, resamples=1000, level=level)["nll"] for level in (0.95, 0.99)
    )
    assert wide.low < usual.low and usual.high < wide.high
