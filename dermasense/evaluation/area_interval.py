"""The interval of an area under the ROC curve, where a few lesions decide how wide it is.

Most positives of a good model stand above all negatives, and the few that do not carry the spread.
A standard error that rests on few images is itself uncertain, and Student's t must know it: its
degrees of freedom are those that the tails of the influences leave, which may be 13 with 120
lesions. The interval is symmetric in logit(AUROC), so that it stays within 0 and 1 (Pepe 2003, The
Statistical Evaluation of Medical Tests, section 5.2).
"""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t

AREAS = ("auroc", "auroc_macro", "malignant_auroc")
# Kurtosis of a handful of values is itself a guess: below this it would only widen, and not cover.
LEAST_FREEDOM = 3.0


def is_area(name: str) -> bool:
    """Whether a metric is an area under the ROC curve, of a class or a mean of them."""
    return name.split("/")[0] in AREAS


def area_ends(
    value: float,
    error: float,
    freedom: float,
    level: float,
    *,
    difference: bool = False,
) -> tuple[float, float]:
    """Ends of the interval.

    Args:
        value: the area, 0..1; or a difference of two.
        error: its standard error, above 0.
        freedom: degrees of freedom, of :func:`freedom_left`.
        level: nominal coverage, 0..1.
        difference: then value +- t standard errors, as a difference may be 0.
    """
    reach = float(t.ppf(0.5 + level / 2, freedom)) * error
    if difference:
        return value - reach, value + reach
    inside = min(max(value, 1e-9), 1 - 1e-9)
    middle, half = logit(inside), reach / (inside * (1 - inside))
    return float(expit(middle - half)), float(expit(middle + half))


def freedom_left(left_out: np.ndarray, n_groups: int, freedom: float) -> float:
    """Degrees of freedom of a standard error by Satterthwaite's rule (1946), at most `freedom`.

    2 V^2 / Var(V) for the variance V of a mean of k values is 1 / (1 / (k - 1) + g / 2k), with g
    their excess kurtosis (Joanes and Gill 1998, G2, which is right on average for normal values).
    Values are the influences of groups, or of blocks of groups, which the jackknife tells.

    Args:
        left_out: the metric with a block of groups left out, shape (blocks,).
        n_groups: groups behind the metric.
        freedom: what the number of groups alone leaves.
    """
    influence = left_out - left_out.mean() if len(left_out) else left_out
    k, square = min(n_groups, len(influence)), float((influence**2).sum())
    if k < 4 or square == 0:
        return freedom
    excess = k * float((influence**4).sum()) / square**2 - 3
    excess = (k - 1) / ((k - 2) * (k - 3)) * ((k + 1) * excess + 6)
    left = 1 / (1 / freedom + max(excess, 0.0) / (2 * k))
    return max(left, min(LEAST_FREEDOM, freedom))
