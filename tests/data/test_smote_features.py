"""SMOTE between embeddings: the library's own samples, as recipes over the rows of one split."""

import numpy as np
import pytest
from imblearn.combine import SMOTEENN
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE

from dermasense.data import smote_features as module
from dermasense.data.balance import TrainingSplit
from dermasense.data.smote_features import SAMPLERS, smote_features
from dermasense.errors import DermaSenseError

NAMES = ("common", "rare", "rarest")
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [120, 40, 15]))
CENTRES = np.random.default_rng(1).normal(size=(3, 8))
FEATURES = (0.6 * CENTRES[LABELS] + np.random.default_rng(2).normal(size=(175, 8))).astype("f4")
LIBRARY = {
    "smote": lambda: SMOTE(random_state=4),
    "borderline": lambda: BorderlineSMOTE(random_state=4),
    "adasyn": lambda: ADASYN(random_state=4),
    "smote_enn": lambda: SMOTEENN(random_state=4),
}


def split_of(labels=LABELS, names=NAMES, seed=4):
    return TrainingSplit(labels, (), names, seed)


def blended(draws, features=FEATURES):
    one, other = features[draws.first].astype(float), features[draws.second].astype(float)
    return one + draws.weight[:, None] * (other - one)


@pytest.mark.parametrize("method", SAMPLERS)
def test_the_blends_are_what_imbalanced_learn_returns(method):
    draws = smote_features(FEATURES, split_of(), method)
    samples, labels = LIBRARY[method]().fit_resample(FEATURES.astype(float), LABELS)
    assert np.array_equal(LABELS[draws.first], labels)
    assert blended(draws) == pytest.approx(samples, abs=1e-5)


@pytest.mark.parametrize("method", SAMPLERS)
def test_blends_stay_in_a_class_and_repeat(method):
    draws, again = (smote_features(FEATURES, split_of(), method) for _ in range(2))
    assert np.array_equal(LABELS[draws.first], LABELS[draws.second])
    assert draws.weight.min() == 0 and 0 < draws.weight.max() <= 0.5
    for field in ("first", "second", "weight"):
        assert np.array_equal(getattr(draws, field), getattr(again, field))
    other = smote_features(FEATURES, split_of(seed=5), method)
    assert len(other) != len(draws) or not np.array_equal(other.weight, draws.weight)


def test_smote_and_borderline_fill_every_class_and_keep_the_real_ones():
    for method in ("smote", "borderline"):
        draws = smote_features(FEATURES, split_of(), method)
        assert np.array_equal(draws.first[:175], np.arange(175)) and not draws.weight[:175].any()
        assert np.bincount(LABELS[draws.first]).tolist() == [120, 120, 120]


def test_smote_enn_drops_a_sample_that_lies_among_others():
    features, labels = FEATURES.copy(), LABELS
    strange = int(np.flatnonzero(labels == 0)[0])
    features[labels == 2] += 20
    features[strange] = features[labels == 2].mean(axis=0)
    draws = smote_features(features, split_of(), "smote_enn")
    assert strange not in draws.first[draws.weight == 0]


def test_classes_of_one_size_need_nothing():
    labels = np.resize([0, 1, 2], 175)[:174]
    assert len(smote_features(FEATURES[:174], split_of(labels))) == 174


@pytest.mark.parametrize(
    ("options", "labels", "words"),
    [
        ({"method": "smoat"}, LABELS, "balance.method=smoat is unknown; did you mean 'smote'"),
        ({"k_neighbors": 0}, LABELS, "balance.k_neighbors=0 must be an integer, 1 or more"),
        ({"k_neighbors": 2.5}, LABELS, "balance.k_neighbors=2.5 must be an integer"),
        ({"k_neighbors": 15}, LABELS, "'rarest' has 15 training .*use .*k_neighbors=14 or"),
        ({}, np.repeat([0, 1], [1, 14]), "1 training image and balance=smote_features blends two"),
        ({}, np.repeat([0, 2], 15), "cannot balance a class without training images"),
        ({}, np.zeros(8, int), "8 training images are fewer than the 11"),
    ],
)
def test_a_mistake_is_one_sentence(options, labels, words):
    names = NAMES[: labels.max() + 1]
    with pytest.raises(DermaSenseError, match=words):
        smote_features(FEATURES[: len(labels)], split_of(labels, names), **options)


def test_what_a_method_cannot_do_is_one_sentence():
    features = FEATURES.copy()
    features[LABELS == 2] += 100  # no neighbour of another class
    with pytest.raises(DermaSenseError, match=r"balance.method=adasyn fails.*balance.method=smote"):
        smote_features(features, split_of(), "adasyn")


def test_a_class_that_is_edited_away_is_one_sentence(monkeypatch):
    class DropsAClass:
        def fit_resample(self, shares, labels):
            return shares[labels != 1], labels[labels != 1]

    monkeypatch.setattr(module, "_sampler", lambda *_: DropsAClass())
    with pytest.raises(DermaSenseError, match="drops every sample of class 'rare'"):
        smote_features(FEATURES, split_of(), "smote_enn")
