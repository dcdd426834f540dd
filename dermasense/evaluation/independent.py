"""How far one model's numbers differ between two sets of images, such as an internal and an
external test: a difference of independent samples, where `compare` has paired ones."""

import numpy as np

from dermasense.errors import DermaSenseError
from dermasense.evaluation.bootstrap import Interval, interval, jackknifed, resampled
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Scores


def independent_differences(
    first: Predictions,
    second: Predictions,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    ranking: bool = True,
) -> dict[str, Interval]:
    """Second minus first, every metric, groups of each table drawn on their own.

    Degrees of freedom are those of the table that leaves fewer; for an AUROC, those that the
    influences of both tables taken together leave. A class that one table lacks is left out of that
    table's balanced accuracy, AUROC and average precision, and counts 0 in its macro-F1 where it is
    answered, so compare means over classes only where the classes are the same.

    Args:
        first, second: tables of the same classes and of different images and groups.
        resamples, level, seed, ranking: as in :func:`bootstrap.intervals`.

    Returns:
        Name -> interval; None where the metric is not defined in one of the tables. `n` and
        `n_groups` count both tables' images behind the metric.

    Raises:
        DermaSenseError: other classes, or an image or a group that stands in both tables.
    """
    second = second.in_order(first.class_names)
    _refuse_shared(first, second)
    scores = [Scores(each, ranking=ranking) for each in (first, second)]
    points = [each(np.ones((each.n_groups, 1))) for each in scores]
    # Two seeds: one stream for both would draw the two tables alike.
    draws = [resampled(each, resamples, seed + place) for place, each in enumerate(scores)]
    left_out = [jackknifed(each, seed) for each in scores]
    behind = [each.behind() for each in scores]
    found = {}
    for name in points[0]:
        value = float(points[1][name][0] - points[0][name][0])
        moves = [_about_mean(each[name]) for each in left_out]
        least = min(behind[0][name], behind[1][name], key=lambda each: each.freedom)
        one = interval(
            name,
            value,
            draws[1][name] - draws[0][name],
            np.concatenate([moves[1], -moves[0]]),
            least,
            level,
            difference=True,
        )
        n, n_groups = (sum(getattr(each[name], of) for each in behind) for of in ("n", "n_groups"))
        found[name] = Interval(one.value, one.low, one.high, n, n_groups)
    return found


def _about_mean(values: np.ndarray) -> np.ndarray:
    known = values[~np.isnan(values)]
    return known - known.mean() if len(known) else known


def _refuse_shared(first: Predictions, second: Predictions) -> None:
    for column, what in (("image_id", "image"), ("group", "group")):
        both = set(first.frame[column].astype(str)) & set(second.frame[column].astype(str))
        if both:
            raise DermaSenseError(
                f"The {what} {min(both)} stands in both tables ({len(both)} such {what}s), so they "
                "are not independent; compare models on the same images with `differences`."
            )
