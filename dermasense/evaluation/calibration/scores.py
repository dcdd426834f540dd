"""What prices a wrong confidence, and how much of the ECE chance alone would show."""

import numpy as np
from scipy.special import softmax

from dermasense.evaluation.bootstrap import Interval, intervals
from dermasense.evaluation.metrics import confidence_bins
from dermasense.evaluation.predictions import Predictions

DRAWS = 500


def calibration_scores(
    predictions: Predictions, *, resamples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """nll, brier, ece and ece_by_chance of a table."""
    found = intervals(predictions, resamples=resamples, seed=seed, ranking=False)
    found["ece_by_chance"] = ece_by_chance(predictions, seed=seed)
    return {name: found[name] for name in ("nll", "brier", "ece", "ece_by_chance")}


def ece_by_chance(
    predictions: Predictions, *, bins: int = 15, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """The ECE of a model whose confidences are true, on so many images: an ECE is never 0.

    Each answer is taken to be right with the probability of its confidence, again and again
    (consistency resampling, Bröcker & Smith 2007), each image by itself: where several images of
    a lesion are right or wrong together, chance makes a little more.

    Args:
        bins: of equal width, as in :func:`dermasense.evaluation.metrics.ece`.

    Returns:
        The mean over draws, and where 95 % of them lie.
    """
    n = len(predictions)
    confidence = softmax(predictions.logits.astype(np.float64), axis=1).max(axis=1)
    which, rng = confidence_bins(confidence, bins), np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        gap = (rng.random(n) < confidence) - confidence
        found[draw] = np.abs(np.bincount(which, gap)).sum() / n
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(float(found.mean()), float(low), float(high), n, predictions.n_groups)
