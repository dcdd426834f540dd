"""Validation metrics from outside the package, beside those of every epoch and of a run."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from dermasense.evaluation.metrics import MONITORS

# Names that an epoch or `summarise` gives already; a test compares.
TAKEN = (
    *MONITORS,
    *("protocol", "n", "n_groups", "micro_f1", "weighted_f1", "kappa", "auroc_macro", "brier"),
    *("per_class", "confusion_matrix", "class_names"),
)


@dataclass(frozen=True)
class OwnMetric:
    """A metric of a validation split.

    Attributes:
        compute: maps logits (N, C) float64 and class indices (N,) int64 to a number, NaN where it
            is not defined.
        better: "max" where more is better, else "min".
    """

    compute: Callable[[np.ndarray, np.ndarray], float]
    better: str


def own_scores(
    metrics: Mapping[str, OwnMetric], logits: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """The value of each metric; all are NaN where `quick` has none to give.

    Args:
        metrics: by name.
        logits: floats, shape (N, C).
        labels: class indices, shape (N,).
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels).astype(np.int64)
    if len(labels) == 0 or not np.isfinite(logits).all():
        return dict.fromkeys(metrics, math.nan)
    return {name: float(metric.compute(logits, labels)) for name, metric in metrics.items()}
