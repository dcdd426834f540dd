"""95 % intervals by bootstrap over groups (lesions): images of one lesion are not independent.

Groups are drawn with replacement, as many as there are, and every metric is weighed with how often
each was drawn. The interval is the bias-corrected and accelerated one (BCa, Efron 1987, eq. 6.8),
because the plain percentile interval of macro-F1 and of a high recall leans to one side. Five
rules, chosen by the coverage that benchmarks/results/bootstrap_coverage.csv shows:

- rare classes show their width: with k groups of a class the level is the one that Student's t with
  k - 1 degrees and the factor sqrt(k / (k - 1)) ask for (Hesterberg 2015, section 5.3); a mean over
  classes has the degrees that its rarest classes leave it; a level that lies beyond what the
  resamples reach is stretched to, as on a normal curve;
- where all resamples agree (17 right of 17), a share gets Wilson's interval (1927) for k trials;
- ECE, which is biased upwards, and in the resamples twice, gets value +- t standard errors;
- so does a difference of two models: few images tell them apart, so that a difference of shares
  takes few values and BCa falls short of them on one side; where all resamples agree, what
  :func:`agreed` bounds;
- an AUROC, whose spread a few groups decide, gets Student's t on the logit scale with the degrees
  of freedom that they leave (:mod:`dermasense.evaluation.area_interval`).

What they do not quite reach: the AUROC of a class, near 1, holds the truth in 90 to 95 % of data
sets where the class has fewer than twenty groups and in 92 to 96 % where it has more (its mean over
classes in 94 to 97 %); and the ECE of a few hundred images, its differences above all.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import norm, t

from dermasense.errors import DermaSenseError
from dermasense.evaluation.area_interval import area_ends, freedom_left, is_area
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import MEANS_OVER_CLASSES, Behind, Scores, spans
from dermasense.terminal import counter

# The thinnest tail that is read from the resamples: 200 have one of them there, 2,000 ten.
THINNEST = 1 / 200
# Resamples weighed at once, and fewer where there are many groups: an array of G x CHUNK floats is
# 8 MB for 10,000 groups and never more.
CHUNK = 100
# The acceleration needs the skewness of the groups' influence; 200 blocks of groups tell it well.
BLOCKS = 200
SHARES = ("top1", "top2", "micro_f1", "precision", "recall", "f1", "auroc", "average_precision")
# Between what a metric lies, besides the shares. One that is not named here has no bounds.
BOUNDS = {
    **dict.fromkeys((*MEANS_OVER_CLASSES, "weighted_f1", "ece", "ece_equal_mass"), (0.0, 1.0)),
    **dict.fromkeys(("kappa", "mcc", "overconfidence"), (-1.0, 1.0)),
    "nll": (0.0, np.inf),
    "brier": (0.0, 2.0),
}


@dataclass(frozen=True)
class Interval:
    """A number, the ends of its interval (None where not defined), and what stands behind it.

    `n` images in `n_groups` groups: of the class, where the metric is of one class; of a ranking
    of one class against the others (AUROC, average precision, the malignant metrics) those of the
    side that has fewer groups.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_groups: int

    def as_dict(self) -> dict:
        """For metrics.json."""
        return asdict(self)


def intervals(
    predictions: Predictions,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    malignant: Sequence[str] | None = None,
    ranking: bool = True,
) -> dict[str, Interval]:
    """Every scalar metric of a table with its interval.

    Args:
        predictions: the table.
        resamples: bootstrap draws; 2,000 settle an end to about a fiftieth of the width.
        level: nominal coverage, 0..1.
        seed: the same seed gives the same numbers.
        malignant, ranking: see :class:`Scores`.

    Returns:
        Name -> interval, names as in :meth:`Scores.__call__`. A single group has no spread: all
        but the shares then have None as ends.
    """
    scores = Scores(predictions, malignant=malignant, ranking=ranking)
    points, behind = scores(np.ones((scores.n_groups, 1))), scores.behind()
    draws = resampled(scores, resamples, seed)
    left_out = jackknifed(scores, seed)
    return {
        name: interval(
            name, float(points[name][0]), draws[name], left_out[name], behind[name], level
        )
        for name in points
    }


def group_draws(n_groups: int, resamples: Sequence[int], seed: int) -> np.ndarray:
    """How often each group is drawn, shape (G, B): a function of (seed, resample) alone."""
    draws = np.empty((n_groups, len(resamples)))
    for column, resample in enumerate(resamples):
        drawn = np.random.default_rng([seed, resample]).integers(n_groups, size=n_groups)
        draws[:, column] = np.bincount(drawn, minlength=n_groups)
    return draws


def resampled(scores: Scores, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """The metrics of each bootstrap resample, name -> shape (resamples,)."""
    if resamples < 100:
        raise DermaSenseError(f"{resamples} resamples settle no interval; take 100 or more.")
    return in_parts(
        scores, resamples, lambda some: group_draws(scores.n_groups, some, seed), "resampling"
    )


def in_parts(
    scores: Scores,
    weightings: int,
    weights: Callable[[range], np.ndarray],
    doing: str = "",
) -> dict[str, np.ndarray]:
    """The metrics of many weightings, as many at once as `spans` takes.

    Args:
        scores: anything with `n_groups` that takes weights, shape (G, B), as :class:`Scores` does.
        weightings: how many.
        weights: those of a range of them, shape (G, len(range)).
        doing: what the person at the terminal is told where it takes more than some seconds.
    """
    show = counter(doing, after=3.0) if doing else None
    parts = []
    for some in spans(weightings, scores.n_groups, CHUNK):
        parts.append(scores(weights(some)))
        if show:
            show(some.stop, weightings)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def jackknifed(scores: Scores, seed: int) -> dict[str, np.ndarray]:
    """The metrics with one block of groups left out at a time, name -> shape (blocks,).

    Nothing is left where there is one group only: the shape is then (0,).
    """
    if scores.n_groups == 1:
        return {name: np.empty(0) for name in scores(np.ones((1, 1)))}
    blocks = min(scores.n_groups, BLOCKS)
    block = np.random.default_rng([seed, blocks]).permutation(scores.n_groups) % blocks
    return in_parts(scores, blocks, lambda some: (block[:, None] != np.array(some)).astype(float))


def interval(
    name: str,
    value: float,
    draws: np.ndarray,
    left_out: np.ndarray,
    behind: Behind,
    level: float = 0.95,
    *,
    difference: bool = False,
) -> Interval:
    """One interval from the values of the resamples and of the jackknife.

    Args:
        name: of the metric, which decides between the rules above; any other name is that of a
            number without bounds, such as a mean of costs.
        value: the metric on the table itself; NaN gives None throughout.
        draws: its values on the resamples; the NaN ones (a class that was not drawn) are passed
            over, unless they are more than half.
        left_out: its values with a block of groups left out.
        behind: images and groups behind the metric.
        level: nominal coverage.
        difference: the values are differences of two models' values of the metric.
    """
    n, n_groups = behind.n, behind.n_groups
    if np.isnan(value):
        return Interval(None, None, None, n, n_groups)
    defined = draws[~np.isnan(draws)]
    settled = n_groups > 1 and 2 * len(defined) >= len(draws) and np.ptp(defined) > 1e-12
    tail = _tail(level, behind.freedom) if n_groups > 1 else 0.0
    ends: Sequence[float] | np.ndarray
    if settled and is_area(name):
        freedom = freedom_left(left_out[~np.isnan(left_out)], n_groups, behind.freedom)
        error = defined.std(ddof=1) * np.sqrt((behind.freedom + 1) / behind.freedom)
        ends = area_ends(value, error, freedom, level, difference=difference)
    elif settled and (difference or name.startswith("ece")):
        reach = -norm.ppf(tail) * defined.std(ddof=1)
        ends = value - reach, value + reach
    elif settled:
        ends = bca(value, defined, left_out[~np.isnan(left_out)], tail)
    elif n_groups > 0 and is_share(name) and not difference:
        ends = wilson(value, n_groups, level)
    elif n_groups > 0 and difference and (is_share(name) or name in MEANS_OVER_CLASSES):
        ends = agreed(value, behind.freedom + 1, level)
    else:
        return Interval(value, None, None, n, n_groups)
    low, high = np.clip(ends, *_bounds(name, difference))
    return Interval(value, float(low), float(high), n, n_groups)


def is_share(name: str) -> bool:
    """Whether a metric is a share of images, 0..1, which has an interval where all agree."""
    return name.split("/")[0] in SHARES or name.startswith("malignant")


def bca(value: float, draws: np.ndarray, left_out: np.ndarray, tail: float) -> np.ndarray:
    """Ends of the BCa interval (Efron 1987) that leaves `tail` on either side, shape (2,).

    A tail thinner than THINNEST is not read from the draws: its ends lie as many times further from
    the value as they would on a normal curve.
    """
    if tail < THINNEST:
        reach = norm.ppf(tail) / norm.ppf(THINNEST)
        return value + reach * (bca(value, draws, left_out, THINNEST) - value)
    tie = np.abs(draws - value) <= 1e-12
    below = ((draws < value) & ~tie).mean() + 0.5 * tie.mean()
    bias = norm.ppf(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    influence = left_out.mean() - left_out
    spread = (influence**2).sum() ** 1.5
    acceleration = (influence**3).sum() / (6 * spread) if spread > 0 else 0.0
    z = bias + norm.ppf([tail, 1 - tail])
    return np.quantile(draws, norm.cdf(bias + z / np.maximum(1 - acceleration * z, 1e-9)))


def wilson(share: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share of independent trials."""
    z = norm.ppf(0.5 + level / 2)
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + (z / trials / 2) ** 2)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def agreed(value: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Ends for a mean of numbers in -1..1 where all of the independent trials show `value`.

    What they do not show has, at this level, a probability of at most b = 1 - (1 - level)^(1 /
    trials) (about 3 / trials at 95 %: Hanley & Lippman-Hand 1983), and lies in -1..1.
    """
    unseen = 1 - (1 - level) ** (1 / trials)
    return (1 - unseen) * value - unseen, (1 - unseen) * value + unseen


def _bounds(name: str, difference: bool) -> tuple[float, float]:
    """Between what a metric, or a difference of two of its values, can lie."""
    unbounded = (-np.inf, np.inf)
    low, high = (0.0, 1.0) if is_share(name) else BOUNDS.get(name.split("/")[0], unbounded)
    return (low - high, high - low) if difference else (low, high)


def _tail(level: float, freedom: float) -> float:
    return float(norm.cdf(-t.ppf(0.5 + level / 2, freedom) * np.sqrt((freedom + 1) / freedom)))
