"""Scores of a ranking (ROC and precision-recall), for one weighting of the images or thousands.

A ranking is a score an image and whether it is positive; weights have shape (n, B), B weightings
at once, or (G, B) where images of one group share theirs. Sorting is done once, each weighting
costs a cumulative sum. Equal scores are one threshold, as in scikit-learn. A value that is not
defined (no positive, no negative) is NaN.
"""

import numpy as np


class Ranking:
    """Images sorted by score, best first.

    Args:
        scores: floats, shape (n,), higher means more likely positive.
        positive: booleans, shape (n,).
        groups: which row of the weights belongs to an image, shape (n,); each its own by default.
    """

    def __init__(self, scores: np.ndarray, positive: np.ndarray, groups: np.ndarray | None = None):
        order = np.argsort(-scores, kind="stable")
        ranked = -scores[order]
        self.order = order if groups is None else groups[order]
        self.positive = positive[order]
        self.first = np.searchsorted(ranked, ranked, side="left")
        self.last = np.searchsorted(ranked, ranked, side="right")

    def weigh(self, weights: np.ndarray) -> "Curves":
        """The curves under B weightings, shape (n, B) or (G, B), >= 0."""
        return Curves(self, weights[self.order])


class Curves:
    """ROC and precision-recall curves of one ranking under B weightings; see :class:`Ranking`.

    Every method returns one value a weighting, shape (B,).
    """

    def __init__(self, ranking: Ranking, ranked: np.ndarray):
        positive = ranking.positive
        self._at = np.flatnonzero(positive)
        self._first, self._last = ranking.first[self._at], ranking.last[self._at]
        self._ends = np.concatenate([[0], np.unique(ranking.last)])
        self._each = ranked[self._at]
        # Positives and negatives that stand before a place, shape (n + 1, B).
        self._hits = _cumulative(np.where(positive[:, None], ranked, 0.0))
        self._alarms = _cumulative(np.where(positive[:, None], 0.0, ranked))

    def auroc(self) -> np.ndarray:
        """Area under the ROC curve: how often a positive stands before a negative, ties half."""
        before = 0.5 * (self._alarms[self._first] + self._alarms[self._last])
        pairs = self._hits[-1] * self._alarms[-1]
        return 1.0 - _ratio((self._each * before).sum(axis=0), pairs)

    def average_precision(self) -> np.ndarray:
        """Average precision, sum over thresholds of (R_k - R_k-1) P_k, as in scikit-learn."""
        hits = self._hits[self._last]
        precision = np.nan_to_num(_ratio(hits, hits + self._alarms[self._last]))
        return _ratio((self._each * precision).sum(axis=0), self._hits[-1])

    def sensitivity_at_specificity(self, specificity: float) -> np.ndarray:
        """Highest sensitivity among the thresholds of at least this specificity."""
        return _best(*self._rates(), 1.0 - specificity)

    def specificity_at_sensitivity(self, sensitivity: float) -> np.ndarray:
        """Highest specificity among the thresholds of at least this sensitivity."""
        hits, alarms = self._rates()
        # Walking the thresholds from the other end turns misses into what must stay rare.
        return _best(1.0 - alarms[::-1], 1.0 - hits[::-1], 1.0 - sensitivity)

    def _rates(self) -> tuple[np.ndarray, np.ndarray]:
        return (
            _ratio(self._hits[self._ends], self._hits[-1]),
            _ratio(self._alarms[self._ends], self._alarms[-1]),
        )


def _best(gain: np.ndarray, cost: np.ndarray, limit: float) -> np.ndarray:
    """The gain at the last threshold whose cost is within the limit; both grow along axis 0."""
    allowed = (cost <= limit + 1e-9).sum(0)
    value = np.take_along_axis(gain, np.maximum(allowed - 1, 0)[None], axis=0)[0]
    return np.where(np.isnan(cost[-1]) | np.isnan(cost[0]), np.nan, value)


def _cumulative(values: np.ndarray) -> np.ndarray:
    total = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=total[1:])
    return total


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    defined = bottom > 0
    return np.where(defined, top / np.where(defined, bottom, 1.0), np.nan)
