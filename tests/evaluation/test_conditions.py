"""Conditions beside the clean images: values of scikit-learn, paired widths, what is kept."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.compare import differences
from dermasense.evaluation.conditions import judge_conditions
from dermasense.evaluation.predictions import Predictions

NAMES = ("a", "b", "c")


@pytest.fixture
def clean():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 400, p=[0.6, 0.3, 0.1])
    logits = rng.normal(size=(400, 3))
    logits[np.arange(400), labels] += 2
    frame = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(400)],
            "group": [f"g{i // 2}" for i in range(400)],
            "label": [NAMES[c] for c in labels],
        }
    )
    return Predictions(frame, logits, NAMES)


@pytest.fixture
def found(clean):
    rng = np.random.default_rng(1)
    answers = {
        "same": clean.logits,
        "noisy": clean.logits + rng.normal(size=clean.logits.shape),
        "blind": np.tile([1.0, 0, 0], (400, 1)),
    }
    return answers, judge_conditions(clean, answers, resamples=400)


def test_values_are_those_of_scikit_learn(clean, found):
    answers, rows = found
    for name, logits in answers.items():
        predicted = logits.argmax(axis=1)
        expected = accuracy_score(clean.labels, predicted)
        balanced = balanced_accuracy_score(clean.labels, predicted)
        assert rows[name]["top1"]["value"] == pytest.approx(expected)
        assert rows[name]["balanced_accuracy"]["value"] == pytest.approx(balanced)
        other = (predicted != clean.logits.argmax(axis=1)).mean()
        assert rows[name]["changed"] == pytest.approx(other)
        assert rows[name]["answered_majority"] == pytest.approx((predicted == 0).mean())


def test_intervals_are_those_of_the_whole_evaluation(clean, found):
    answers, rows = found
    noisy = clean.with_logits(answers["noisy"])
    whole = intervals(noisy, resamples=400, ranking=False)
    paired = differences(clean, noisy, resamples=400, ranking=False)
    for metric in ("top1", "balanced_accuracy"):
        row = rows["noisy"][metric]
        assert (row["low"], row["high"]) == pytest.approx((whole[metric].low, whole[metric].high))
        change = row["change"]
        assert change["low"] == pytest.approx(paired[metric].low)
        assert change["high"] == pytest.approx(paired[metric].high)


def test_what_is_kept_runs_from_the_blind_baseline_to_the_clean_score(found):
    _, rows = found
    for metric in ("top1", "balanced_accuracy"):
        assert rows["same"][metric]["kept"]["value"] == pytest.approx(1)
        assert rows["blind"][metric]["kept"]["value"] == pytest.approx(0, abs=1e-12)
        kept = rows["noisy"][metric]["kept"]
        assert 0 < kept["low"] < kept["value"] < kept["high"] < 1
        assert rows["same"][metric]["change"]["value"] == 0


def test_a_condition_that_is_better_keeps_more_than_all(clean):
    right = 9 * np.eye(3)[clean.labels]
    rows = judge_conditions(clean, {"better": right}, resamples=200)
    for metric in ("top1", "balanced_accuracy"):
        kept = rows["better"][metric]["kept"]
        assert 1 < kept["low"] < kept["value"] < kept["high"]


def test_a_model_that_is_no_better_than_blind_keeps_nothing_to_speak_of(clean):
    blind = clean.with_logits(np.tile([1.0, 0, 0], (400, 1)))
    rows = judge_conditions(blind, {"x": clean.logits}, resamples=100)
    assert rows["x"]["top1"]["kept"] is None
