"""Averages with known answers, weights that find the truth, greedy selection, diversity."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.ensembling import (
    METHODS,
    cross_fitted,
    diversity,
    fitted_weights,
    greedy_weights,
    mixed,
    scorer,
)
from dermasense.evaluation.predictions import Predictions

NAMES = ("a", "b", "c")


def data(n=400, members=3, seed=0, gains=(2.0, 1.0, 0.0)):
    """Members of known quality: logits (M, N, C) and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    logits = rng.normal(size=(members, n, 3))
    for member, gain in enumerate(gains):
        logits[member, np.arange(n), labels] += gain
    return logits, labels


def table(logits, labels, folds=None):
    frame = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(len(labels))],
            "group": [f"g{n // 2}" for n in range(len(labels))],
            "label": [NAMES[code] for code in labels],
        }
    )
    if folds is not None:
        frame["fold"] = folds
    return Predictions(frame, logits, NAMES)


def nll(logits, labels):
    return -mixed(logits[None], [1])[np.arange(len(labels)), labels].mean()


def test_averages_are_what_they_say():
    p = np.array([[[0.8, 0.1, 0.1]], [[0.2, 0.2, 0.6]]])
    mean = np.exp(mixed(np.log(p), [1, 1], "probability"))
    np.testing.assert_allclose(mean, [[0.5, 0.15, 0.35]])
    geometric = np.sqrt(p[0] * p[1])
    np.testing.assert_allclose(np.exp(mixed(np.log(p), [2, 2], "log")), geometric / geometric.sum())
    np.testing.assert_allclose(np.exp(mixed(np.log(p), [3, 0])), p[0])
    assert np.isfinite(mixed(np.array([[[1e4, -1e4, 0.0]]] * 2), [0.5, 0.5])).all()


@pytest.mark.parametrize("average", ["probability", "log"])
def test_fitted_weights_are_the_least_nll_of_the_simplex(average):
    logits, labels = data()
    weights = fitted_weights(logits, labels, average=average)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    best = nll(mixed(logits, weights, average), labels)
    draws = np.random.default_rng(0).dirichlet(np.ones(3), 300)
    assert best <= min(nll(mixed(logits, w, average), labels) for w in draws) + 1e-6
    assert weights[0] > weights[1] > weights[2] - 1e-9


def test_a_member_without_worth_gets_nothing():
    logits, labels = data()
    logits[2] = np.roll(logits[0], 1, axis=0) * 3  # sure, and of other images
    assert fitted_weights(logits, labels)[2] == 0
    assert greedy_weights(logits, labels, metric="nll")[2] == 0


@pytest.mark.parametrize("metric", ["nll", "balanced_accuracy", "macro_f1"])
def test_greedy_is_no_worse_than_its_best_member_where_it_is_fitted(metric):
    logits, labels = data(gains=(1.0, 1.0, 0.5))
    score = scorer(metric)
    weights = greedy_weights(logits, labels, metric=metric)
    assert score(mixed(logits, weights), labels) >= max(score(one, labels) for one in logits)
    assert weights.sum() == pytest.approx(1)
    steps = weights * 50  # counts of at most 50 rounds: whole numbers for some number of rounds
    assert any(np.allclose(weights * n, np.round(weights * n)) for n in range(1, 51)), steps


def test_greedy_takes_no_second_member_that_makes_nothing_better():
    labels = np.array([0, 1, 2, 0])
    best, other = 9.0 * np.eye(3)[labels], 0.1 * np.eye(3)[[0, 1, 2, 1]]  # once wrong, never sure
    assert greedy_weights(np.stack([other, best]), labels, metric="top1").tolist() == [0, 1]


def test_copies_of_one_member_are_that_member():
    logits, labels = data(members=1, gains=(1.5,))
    copies = np.repeat(logits, 4, axis=0)
    for name, fit in METHODS.items():
        weights = fit(copies, labels, average="probability", metric="nll")
        np.testing.assert_allclose(
            np.exp(mixed(copies, weights)), softmax(logits[0], axis=1), err_msg=name
        )


def test_a_fold_is_judged_by_weights_of_the_others():
    logits, labels = data(n=300)
    folds = np.arange(300) // 2 % 3
    tables = [table(each, labels, folds) for each in logits]
    out, weights = cross_fitted(tables, "weights", average="log", metric="nll")
    for fold, each in weights.items():
        inside = folds == fold
        known = fitted_weights(logits[:, ~inside], labels[~inside], average="log")
        np.testing.assert_allclose(each, known)
        np.testing.assert_allclose(out[inside], mixed(logits[:, inside], known, "log"))
    wrong = labels.copy()
    wrong[folds == 1] = (wrong[folds == 1] + 1) % 3  # the labels of a fold change nothing in it
    other = [table(each, wrong, folds) for each in logits]
    again, _ = cross_fitted(other, "weights", average="log", metric="nll")
    np.testing.assert_array_equal(again[folds == 1], out[folds == 1])


@pytest.mark.parametrize("method", ["weights", "greedy"])
def test_one_fold_has_no_others_to_fit_on(method):
    logits, labels = data(n=30)
    tables = [table(each, labels, np.zeros(30, int)) for each in logits]
    with pytest.raises(DermaSenseError, match="the column fold holds 1; take method=mean"):
        cross_fitted(tables, method, average="probability", metric="nll")


@pytest.mark.parametrize("average", ["probability", "log"])
def test_weights_that_were_not_found_are_no_weights(average):
    logits, labels = data(n=30)
    with pytest.raises(DermaSenseError, match="no images to fit on"):
        fitted_weights(logits[:, :0], labels[:0], average=average)
    logits[:, 0] = np.nan
    with pytest.raises(DermaSenseError, match="finds no weights on these 30 images"):
        fitted_weights(logits, labels, average=average)


def test_diversity_counts_answers_that_differ_and_that_are_both_wrong():
    labels = np.array([0, 0, 1, 1, 2, 2])
    answers = np.array([[0, 0, 1, 1, 2, 2], [0, 1, 1, 0, 2, 0], [1, 1, 1, 0, 2, 1]])
    tables = [(f"m{n}", table(np.eye(3)[each] * 5, labels)) for n, each in enumerate(answers)]
    rows = {(row["first"], row["second"]): row for row in diversity(tables, resamples=200)}
    assert rows["m0", "m1"]["disagreement"]["value"] == 3 / 6
    assert rows["m0", "m1"]["double_fault"]["value"] == 0
    assert rows["m1", "m2"]["disagreement"]["value"] == 2 / 6
    assert rows["m1", "m2"]["double_fault"]["value"] == 3 / 6
    assert rows["m1", "m2"]["n"] == 6 and rows["m1", "m2"]["n_groups"] == 3
    low, high = (rows["m0", "m1"]["disagreement"][end] for end in ("low", "high"))
    assert low <= 0.5 <= high


def test_what_all_images_share_has_no_width_whatever_the_size_of_their_lesions():
    labels = np.zeros(30, int)
    groups = np.repeat(np.arange(6), [1, 2, 3, 5, 8, 11])
    tables = [table(np.eye(3)[np.full(30, answer)], labels) for answer in (1, 2)]
    tables = [Predictions(t.frame.assign(group=groups), t.logits, NAMES) for t in tables]
    (row,) = diversity(list(zip("xy", tables, strict=True)), resamples=100)
    assert row["disagreement"] == row["double_fault"] == {"value": 1, "low": 1, "high": 1}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, y: mixed(x, [1, 1, 1], "mean"), "average=mean is unknown"),
        (lambda x, y: mixed(x, [1, 1]), "give each of 3 members one"),
        (lambda x, y: mixed(x, [1, -1, 1]), "give each of 3 members one"),
        (lambda x, y: mixed(x, [0, 0, 0]), "give each of 3 members one"),
        (lambda x, y: greedy_weights(x, y, metric="auc"), "metric=auc is unknown"),
    ],
)
def test_a_mistake_is_named(call, words):
    with pytest.raises(DermaSenseError, match=words):
        call(*data(n=10))
