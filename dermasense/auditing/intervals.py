"""Intervals over groups of the few numbers that audits show; the rules are the bootstrap's own."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dermasense.evaluation import confusion
from dermasense.evaluation.bootstrap import BLOCKS, CHUNK, Interval, group_draws, interval, wilson
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Behind, Scores

Statistic = Callable[[np.ndarray], np.ndarray]


def of_sums(
    name: str,
    sums: np.ndarray,
    statistic: Statistic,
    behind: Behind,
    *,
    resamples: int,
    seed: int,
    level: float = 0.95,
    difference: bool = False,
) -> Interval:
    """The interval of a statistic of sums over groups.

    Args:
        name: of the metric, as the bootstrap's rules know it.
        sums: what each group adds, (G, K).
        statistic: of total sums (B, K) -> (B,), NaN where not defined.
        behind: images, groups and degrees of freedom.
        resamples, seed, level: of the bootstrap.
        difference: the statistic is a difference of two models.
    """
    total = len(sums)
    draws = np.concatenate(
        [
            statistic(
                group_draws(total, range(first, min(first + CHUNK, resamples)), seed).T @ sums
            )
            for first in range(0, resamples, CHUNK)
        ]
    )
    blocks = min(total, BLOCKS)
    block = np.random.default_rng([seed, blocks]).permutation(total) % blocks
    of_block = np.zeros((blocks, sums.shape[1]))
    np.add.at(of_block, block, sums)
    left_out = statistic(sums.sum(0) - of_block) if total > 1 else np.empty(0)
    value = float(statistic(sums.sum(0)[None])[0])
    return interval(name, value, draws, left_out, behind, level, difference=difference)


def balanced_accuracy(
    answers: Predictions, *, resamples: int, seed: int, level: float = 0.95
) -> Interval:
    """Mean recall over the classes, with its interval over groups.

    Where all resamples agree, as for an attribute that is the label, the ends are the means of
    Wilson's over the classes, each of as many trials as it has groups: a little too wide.
    """
    sums = confusion_sums(answers)
    found = of_sums(
        "balanced_accuracy", sums, _balanced, behind_of(answers),
        resamples=resamples, seed=seed, level=level,
    )  # fmt: skip
    if found.low is not None or answers.n_groups < 2:
        return found
    counts = sums.sum(0).reshape((len(answers.class_names),) * 2)
    per_class = [
        wilson(counts[c, c] / counts[c].sum(), len(set(answers.groups[answers.labels == c])), level)
        for c in np.flatnonzero(counts.sum(1))
    ]
    low, high = np.mean(per_class, axis=0)
    return replace(found, low=float(low), high=float(high))


def balanced_accuracy_gain(
    first: Predictions, second: Predictions, *, resamples: int, seed: int
) -> Interval:
    """Second minus first on the same images in the same order; groups are drawn for both."""
    sums = np.concatenate([confusion_sums(first), confusion_sums(second)], axis=1)
    half = sums.shape[1] // 2
    return of_sums(
        "balanced_accuracy", sums, lambda s: _balanced(s[:, half:]) - _balanced(s[:, :half]),
        behind_of(first), resamples=resamples, seed=seed, difference=True,
    )  # fmt: skip


def accuracy_gain(
    first: Predictions, second: Predictions, *, resamples: int, seed: int
) -> Interval:
    """Second minus first in top-1 accuracy, on the same images in the same order."""
    right = [each.logits.argmax(1) == each.labels for each in (first, second)]
    sums = np.zeros((first.n_groups, 2))
    np.add.at(
        sums, first.groups, np.stack([right[1].astype(float) - right[0], np.ones(len(first))], 1)
    )
    behind = Behind(len(first), first.n_groups, first.n_groups - 1.0)
    return of_sums(
        "top1", sums, lambda s: s[:, 0] / s[:, 1], behind,
        resamples=resamples, seed=seed, difference=True,
    )  # fmt: skip


def confusion_sums(answers: Predictions) -> np.ndarray:
    """The confusion matrix of each group, flat: (G, C * C), true class first."""
    classes = len(answers.class_names)
    cell = answers.labels * classes + answers.logits.argmax(1)
    sums = np.zeros((answers.n_groups, classes**2))
    np.add.at(sums, (answers.groups, cell), 1.0)
    return sums


def behind_of(answers: Predictions) -> Behind:
    """What stands behind a mean over the classes of a table."""
    return Scores(answers, ranking=False).behind()["balanced_accuracy"]


def _balanced(sums: np.ndarray) -> np.ndarray:
    classes = round(sums.shape[1] ** 0.5)
    return confusion.balanced_accuracy(sums.reshape(-1, classes, classes))
