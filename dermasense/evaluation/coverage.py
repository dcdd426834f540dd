"""Accuracy against the share of images that are answered, the least sure ones left to a person."""

from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import softmax

from dermasense.evaluation.bootstrap import group_draws
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import spans


@dataclass(frozen=True)
class Coverage:
    """What answering only the surest share of images does.

    Args:
        share: share of images answered, 1/K .. 1.
        accuracy, low, high: top-1 accuracy among these, with pointwise 95 % ends by bootstrap over
            groups; where there is one group only, low and high are NaN.
        threshold: the least confidence (largest probability) that is still answered.
        area: mean accuracy over all shares (1 minus the AURC of Geifman & El-Yaniv 2017): all
            images ranked by confidence, 0..1.
        n: images.
    """

    share: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    threshold: np.ndarray
    area: float
    n: int

    def as_dict(self) -> dict:
        """For metrics.json, four decimals, None where not defined."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def coverage(
    predictions: Predictions, *, points: int = 20, resamples: int = 300, seed: int = 0
) -> Coverage:
    """The curve of a table, ranked by its largest probability; equal confidences share a place.

    Args:
        predictions: N images.
        points: shares to give, K = min(points, N).
        resamples, seed: of the bootstrap over groups.
    """
    probabilities = softmax(predictions.logits.astype(np.float64), axis=1)
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == predictions.labels).astype(float)
    order = np.argsort(-confidence, kind="stable")
    # Images that are equally sure cannot be told apart: each counts with their mean.
    _, tie = np.unique(-confidence[order], return_inverse=True)
    even = (np.bincount(tie, right[order]) / np.bincount(tie))[tie]
    count = min(points, len(order))
    share = np.arange(1, count + 1) / count
    last = np.ceil(share * len(order) - 1e-9).astype(int) - 1
    whole = np.cumsum(even) / np.arange(1, len(order) + 1)
    low, high = np.full((2, count), np.nan)
    if predictions.n_groups > 1:
        groups = predictions.groups[order]
        curves = [
            _curves(even, group_draws(predictions.n_groups, some, seed)[groups], share)
            for some in spans(resamples, len(order))
        ]
        low, high = np.quantile(np.concatenate(curves, axis=1), [0.025, 0.975], axis=1)
    return Coverage(
        share=share,
        accuracy=whole[last],
        low=low,
        high=high,
        threshold=confidence[order][last],
        area=float(whole.mean()),
        n=len(order),
    )


def _curves(right: np.ndarray, weights: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The curve at these shares under B weightings (N, B), shape (K, B)."""
    total = np.cumsum(weights, axis=0)
    hits = np.cumsum(weights * right[:, None], axis=0)
    curves = np.empty((len(share), weights.shape[1]))
    for column in range(weights.shape[1]):
        answered = np.searchsorted(total[:, column], share * total[-1, column] - 1e-9)
        curves[:, column] = hits[answered, column] / total[answered, column]
    return curves


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return [_plain(float(each)) for each in value]
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value
