"""Two models on the same images: is one better, by how much, and could it be chance?

Lesions, not images, are independent: the bootstrap draws lesions (the same for both models), and
the tests add up over lesions before they estimate a spread.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from dermasense.errors import DermaSenseError
from dermasense.evaluation.bootstrap import Interval, interval, jackknifed, resampled
from dermasense.evaluation.curves import malignant_ranking
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Scores


@dataclass(frozen=True)
class TestResult:
    """A test of "no difference". `p` is None where the models do not differ in any image."""

    __test__ = False  # its name begins like a test's, for pytest

    difference: float
    statistic: float | None
    p: float | None
    n: int
    n_groups: int

    def as_dict(self) -> dict:
        """For metrics.json."""
        return asdict(self)


def paired(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions]:
    """Both tables with the same images in the same order, and the class order of the first.

    Raises:
        DermaSenseError: images, labels, groups or classes differ.
    """
    second = second.in_order(first.class_names)
    order = {str(image): row for row, image in enumerate(second.frame["image_id"])}
    images = [str(image) for image in first.frame["image_id"]]
    lacking = [image for image in images if image not in order]
    if lacking or len(order) != len(images):
        raise DermaSenseError(
            f"The tables hold {len(images)} and {len(order)} images, {len(lacking)} of the first "
            f"({', '.join(lacking[:3])}) are not in the second; compare models on the same images."
        )
    second = second.rows(np.array([order[image] for image in images]))
    for column in ("label", "group"):
        differ = np.flatnonzero(
            first.frame[column].astype(str).to_numpy()
            != second.frame[column].astype(str).to_numpy()
        )
        if len(differ):
            raise DermaSenseError(
                f"Image {images[differ[0]]} has the {column} {first.frame[column][differ[0]]} in "
                f"one table and {second.frame[column][differ[0]]} in the other ({len(differ)} "
                "such images); judge both models against the same truth."
            )
    return first, second


def differences(
    first: Predictions,
    second: Predictions,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    malignant: Sequence[str] | None = None,
    ranking: bool = True,
) -> dict[str, Interval]:
    """Second minus first, every metric, with the interval of the difference (paired bootstrap).

    Args:
        first, second: tables of the same images; see :func:`paired`.
        resamples, level, seed, malignant, ranking: as in :func:`bootstrap.intervals`.

    Returns:
        Name -> interval of the difference. Models differ in a metric where 0 lies outside; where
        many metrics or models are looked at, correct for it with :func:`holm`.
    """
    first, second = paired(first, second)
    scores = [Scores(each, malignant=malignant, ranking=ranking) for each in (first, second)]
    points = [each(np.ones((each.n_groups, 1))) for each in scores]
    draws = [resampled(each, resamples, seed) for each in scores]
    left_out = [jackknifed(each, seed) for each in scores]
    behind = [each.behind() for each in scores]
    return {
        name: interval(
            name,
            float(points[1][name][0] - points[0][name][0]),
            draws[1][name] - draws[0][name],
            left_out[1][name] - left_out[0][name],
            min(behind[0][name], behind[1][name], key=lambda each: each.freedom),
            level,
            difference=True,
        )
        for name in points[0]
    }


def mcnemar(first: Predictions, second: Predictions) -> TestResult:
    """McNemar's test of equal top-1 accuracy, summed over groups (Obuchowski 1998).

    With d_g the images of group g that only the second gets right minus those that only the first
    does, chi2 = (sum d_g)^2 / sum d_g^2 with one degree of freedom: McNemar's own statistic where
    every group is one image. With fewer than 25 groups that differ, p is that of the exact sign
    test over these groups.

    Returns:
        difference of the accuracies (second minus first), statistic, p.
    """
    first, second = paired(first, second)
    right = [each.logits.argmax(axis=1) == each.labels for each in (first, second)]
    change = np.bincount(first.groups, right[1].astype(float) - right[0].astype(float))
    difference = float(right[1].mean() - right[0].mean())
    changed = change[change != 0]
    if len(changed) == 0:
        return TestResult(difference, None, None, len(first), first.n_groups)
    statistic = float(changed.sum() ** 2 / (changed**2).sum())
    if len(changed) < 25:
        p = stats.binomtest(int((changed > 0).sum()), len(changed)).pvalue
    else:
        p = stats.chi2.sf(statistic, df=1)
    return TestResult(difference, statistic, float(p), len(first), first.n_groups)


def delong(
    first: Predictions, second: Predictions, malignant: Sequence[str] | None = None
) -> TestResult:
    """DeLong's test of equal AUROC of malignant against benign, for groups (Obuchowski 1997).

    With one image a group this is DeLong et al. (1988) but for terms of order 1/n.

    Returns:
        difference of the AUROCs (second minus first), z, p (two-sided).

    Raises:
        DermaSenseError: one side of the ranking is empty.
    """
    first, second = paired(first, second)
    positive = malignant_ranking(first, malignant)[1]
    if positive.all() or not positive.any():
        raise DermaSenseError("All images are on one side; an AUROC needs malignant and benign.")
    scores = [malignant_ranking(each, malignant)[0] for each in (first, second)]
    influence = [_auroc_influence(each, positive) for each in scores]
    difference = float(influence[1][0] - influence[0][0])
    by_group = np.bincount(first.groups, influence[1][1] - influence[0][1])
    groups = first.n_groups
    variance = (by_group**2).sum() * groups / max(groups - 1, 1)
    if variance < 1e-24:
        return TestResult(difference, None, None, len(first), groups)
    z = difference / np.sqrt(variance)
    return TestResult(difference, float(z), float(2 * stats.norm.sf(abs(z))), len(first), groups)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values, in the order given: for when many are compared."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    result = np.empty(len(p))
    result[order] = np.minimum(adjusted, 1.0)
    return result.tolist()


def _auroc_influence(scores: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """AUROC and how much each image moves it, shape (N,): its placement among the other side."""
    up, down = np.sort(scores[positive]), np.sort(scores[~positive])
    placement = np.empty(len(scores))
    placement[positive] = _share_below(scores[positive], down)
    placement[~positive] = 1.0 - _share_below(scores[~positive], up)
    area = float(placement[positive].mean())
    size = np.where(positive, positive.sum(), (~positive).sum())
    return area, (placement - area) / size


def _share_below(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    left = np.searchsorted(ordered, values, side="left")
    right = np.searchsorted(ordered, values, side="right")
    return 0.5 * (left + right) / len(ordered)
