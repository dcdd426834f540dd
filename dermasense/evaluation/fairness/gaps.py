"""Largest gaps between groups, and which pairs of groups differ.

The largest of several gaps is biased upwards: groups that are served alike never score alike, so
"best minus worst" is above 0 by chance alone, and the more so the smaller and the more numerous
they are. Two things answer that. `by_chance` is the gap to expect of these groups where none
differs: the mean of max - min over the bootstrap draws, each value centred. And a pair is called
different only where the interval of its difference leaves out 0 at the level 1 - .05 / pairs
(Bonferroni), which pays for having looked at all pairs and picked the widest. In simulations where
no group differs, 3 to 7 % of tables then have a pair that is called different (nominal: at most 5;
benchmarks/results/fairness_false_alarms.csv).

ECE has no gap here: it is biased upwards, more so in a small group, and where sizes differ a pair
of ECEs was called different in 20 % of such tables. Calibration is compared by `overconfidence`,
the mean confidence minus the accuracy, which is a mean and has no such bias.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
from scipy.stats import norm, t

from dermasense.evaluation.bootstrap import is_share, wilson
from dermasense.evaluation.scores import Behind

LEVEL = 0.95
LOW_IS_GOOD = ("overconfidence",)


@dataclass(frozen=True)
class Difference:
    """Two values of an attribute: `value` is better minus worse by the numbers at hand.

    That is high minus low; for overconfidence `worse` has the higher one, and the difference is
    higher minus lower.
    `differs` says that the interval, corrected for the number of pairs, leaves out 0; where it
    does not, "worse" is a word for the lower number and for nothing else.
    """

    worse: str
    better: str
    value: float
    low: float | None
    high: float | None
    differs: bool


@dataclass(frozen=True)
class Gap:
    """The largest gap of a metric over the values of an attribute; see the module's docstring."""

    largest: Difference
    level: float
    pairs: int
    by_chance: float
    differences: tuple[Difference, ...]

    def as_dict(self) -> dict:
        """For metrics.json: the largest gap flat, and the pairs that differ beside it."""
        flat = {**asdict(self.largest), "level": round(self.level, 5), "pairs": self.pairs}
        differing = [asdict(each) for each in self.differences]
        return {**flat, "by_chance": self.by_chance, "differences": differing}


def gap_of(
    metric: str,
    names: Sequence[str],
    points: np.ndarray,
    draws: np.ndarray,
    behind: Sequence[Behind],
) -> Gap | None:
    """The gaps of one metric.

    Args:
        metric: its name.
        names: of the V values.
        points: (V,) metric of each value, NaN where not defined.
        draws: (V, B) the same in the bootstrap resamples.
        behind: images and lesions behind each.

    Returns:
        None where fewer than two values have the metric, or too few resamples have them all.
    """
    kept = np.flatnonzero(np.isfinite(points) & (np.isfinite(draws).mean(axis=1) >= 0.5))
    columns = np.isfinite(draws[kept]).all(axis=0)
    if len(kept) < 2 or columns.mean() < 0.5:
        return None
    names, behind = [names[i] for i in kept], [behind[i] for i in kept]
    points, draws = points[kept], draws[kept][:, columns]
    centred = draws - draws.mean(axis=1, keepdims=True)
    # Where low is good the worse value is the higher one: turn the sign, and all else is the same.
    sign = -1.0 if metric in LOW_IS_GOOD else 1.0
    variance, share = _variances(metric, points, draws, behind), np.cov(draws)
    pairs = list(combinations(range(len(names)), 2))
    tail = (1 - LEVEL) / 2 / len(pairs)
    found = []
    for i, j in pairs:
        if sign * points[i] > sign * points[j]:
            i, j = j, i
        spread = _spread(variance, share, behind, i, j)
        value, low, high = float(sign * (points[j] - points[i])), None, None
        if spread is not None:
            half = float(t.ppf(1 - tail, spread[1])) * spread[0]
            low, high = max(value - half, -1.0), min(value + half, 1.0)
        excludes = low is not None and (low > 0 or high < 0)
        found.append(Difference(names[i], names[j], value, low, high, excludes))
    return Gap(
        largest=max(found, key=lambda each: each.value),
        level=1 - (1 - LEVEL) / len(pairs),
        pairs=len(pairs),
        by_chance=float(np.ptp(centred, axis=0).mean()),
        differences=tuple(each for each in found if each.differs),
    )


def _variances(
    metric: str, points: np.ndarray, draws: np.ndarray, behind: Sequence[Behind]
) -> np.ndarray:
    """Squared standard errors, (V,); of a share that all resamples agree on, Wilson's; else NaN."""
    found = np.full(len(points), np.nan)
    for place, each in enumerate(behind):
        if np.ptp(draws[place]) > 1e-12:
            found[place] = draws[place].var(ddof=1)
        elif is_share(metric) and each.n_groups > 0:
            low, high = wilson(float(points[place]), each.n_groups)
            found[place] = ((high - low) / 2 / norm.ppf(0.975)) ** 2
    return found


def _spread(
    variance: np.ndarray, covariance: np.ndarray, behind: Sequence[Behind], i: int, j: int
) -> tuple[float, float] | None:
    """Standard error of a difference and its degrees of freedom (Satterthwaite 1946)."""
    freedom = np.array([behind[i].freedom, behind[j].freedom])
    if (freedom < 1).any() or np.isnan(variance[[i, j]]).any():
        return None
    # k lesions drawn from k show (k - 1) / k of the variance.
    each = variance[[i, j]] * (freedom + 1) / freedom
    whole = each.sum() - 2 * covariance[i, j]
    if whole <= 0:
        return None
    return float(np.sqrt(whole)), float(each.sum() ** 2 / (each**2 / freedom).sum())
