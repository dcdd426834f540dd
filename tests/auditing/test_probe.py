"""The probe's answers are out of fold, and its intervals are the bootstrap's own."""

import numpy as np
import pandas as pd
import pytest

from dermasense.auditing.intervals import accuracy_gain, balanced_accuracy, balanced_accuracy_gain
from dermasense.auditing.probe import out_of_fold
from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.compare import differences


def table(n_groups=60, images=3, seed=0):
    """Groups whose features say who they are and nothing else: labels are drawn by group."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), images)
    labels = np.array(["a", "b"])[np.arange(n_groups) % 2][group]
    vectors = rng.normal(0, 1, (n_groups, 40))[group] + rng.normal(0, 0.1, (len(group), 40))
    ids = [f"i{i}" for i in range(len(group))]
    frame = pd.DataFrame({"image_id": ids, "group": [f"g{g}" for g in group], "label": labels})
    return frame, vectors.astype(np.float32)


def test_a_group_is_answered_by_folds_without_it():
    frame, vectors = table()
    honest = out_of_fold(frame, vectors, ("a", "b"), folds=5, seed=0)
    leaky = out_of_fold(frame, vectors, ("a", "b"), folds=5, seed=0, by="image")
    assert (honest.frame.groupby("group")["fold"].nunique() == 1).all()
    right = [(each.logits.argmax(1) == each.labels).mean() for each in (honest, leaky)]
    assert right[0] < 0.65 and right[1] > 0.8


def test_folds_are_as_many_as_the_rarest_class_allows():
    frame, vectors = table(n_groups=6)
    answers = out_of_fold(frame, vectors, ("a", "b"), folds=5, seed=0)
    assert answers.frame["fold"].nunique() == 3


def test_constant_features_give_the_prior():
    frame, _ = table()
    answers = out_of_fold(frame, np.ones((len(frame), 3)), ("a", "b"), folds=4, seed=0)
    assert np.allclose(answers.logits, np.log(0.5), atol=0.05)


def test_intervals_are_those_of_the_bootstrap():
    frame, vectors = table()
    honest = out_of_fold(frame, vectors, ("a", "b"), folds=5, seed=0)
    leaky = out_of_fold(frame, vectors, ("a", "b"), folds=5, seed=0, by="image")
    known = intervals(leaky, resamples=200, seed=3, ranking=False)["balanced_accuracy"]
    found = balanced_accuracy(leaky, resamples=200, seed=3)
    assert found.as_dict() == pytest.approx(known.as_dict())
    known = differences(honest, leaky, resamples=200, seed=3, ranking=False)
    gain = balanced_accuracy_gain(honest, leaky, resamples=200, seed=3)
    assert gain.as_dict() == pytest.approx(known["balanced_accuracy"].as_dict())
    gain = accuracy_gain(honest, leaky, resamples=200, seed=3)
    assert gain.as_dict() == pytest.approx(known["top1"].as_dict())
