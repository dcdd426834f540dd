"""Scores that are functions of the confusion matrix, for one matrix or for thousands at once.

Every function takes counts of shape (..., C, C), true class by row and predicted class by column;
counts may be weighted, as those of bootstrap resamples are. A score that is not defined is NaN.
The rules for absent classes are scikit-learn's and stand with each function.
"""

import numpy as np

EPS_WEIGHT = 1e-12


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts of shape (C, C), true class by row, predicted class by column, int64."""
    flat = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of right answers; equal to micro-F1, since every image has one label and one answer."""
    return _ratio(_right(counts).sum(-1), counts.sum((-2, -1)))


def recall(counts: np.ndarray) -> np.ndarray:
    """Recall per class, (..., C); NaN for a class without images."""
    return _ratio(_right(counts), counts.sum(-1))


def precision(counts: np.ndarray) -> np.ndarray:
    """Precision per class, (..., C); NaN for a class that was never answered."""
    return _ratio(_right(counts), counts.sum(-2))


def f1(counts: np.ndarray) -> np.ndarray:
    """F1 per class, (..., C); NaN for a class that occurs neither in labels nor in answers, 0 for
    one that occurs only in answers."""
    return _ratio(2.0 * _right(counts), counts.sum(-1) + counts.sum(-2))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that occur in the labels (scikit-learn's rule)."""
    return mean_of_defined(recall(counts))


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that occur in the labels or in the answers (scikit-learn's rule)."""
    return mean_of_defined(f1(counts))


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 weighted with the classes' images; absent classes have weight 0."""
    support = counts.sum(-1)
    return _ratio((np.nan_to_num(f1(counts)) * support).sum(-1), support.sum(-1))


def kappa(counts: np.ndarray) -> np.ndarray:
    """Cohen's kappa, (p_o - p_e) / (1 - p_e).

    NaN where the labels hold one class only: chance agreement then equals the agreement, whatever
    the answers are, and a 0 would only look like a finding.
    """
    total = counts.sum((-2, -1))
    support = counts.sum(-1)
    observed = _ratio(_right(counts).sum(-1), total)
    expected = _ratio((support * counts.sum(-2)).sum(-1), total.astype(float) ** 2)
    value = _ratio(observed - expected, 1.0 - expected)
    return np.where(_classes_present(support) < 2, np.nan, value)


def mcc(counts: np.ndarray) -> np.ndarray:
    """Matthews correlation for many classes (Gorodkin 2004), -1..1.

    NaN where the labels hold one class only; 0, the limit, where only one class is ever answered
    (scikit-learn's rule).
    """
    total = counts.sum((-2, -1)).astype(float)
    support, answers = counts.sum(-1).astype(float), counts.sum(-2).astype(float)
    covariance = _right(counts).sum(-1) * total - (support * answers).sum(-1)
    spread = (total**2 - (support**2).sum(-1)) * (total**2 - (answers**2).sum(-1))
    value = np.where(
        _classes_present(answers) < 2, 0.0, _ratio(covariance, np.sqrt(np.maximum(spread, 0.0)))
    )
    return np.where(_classes_present(support) < 2, np.nan, value)


def _right(counts: np.ndarray) -> np.ndarray:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _classes_present(amount: np.ndarray) -> np.ndarray:
    return (amount > EPS_WEIGHT).sum(-1)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    bottom = np.asarray(bottom, dtype=float)
    defined = np.abs(bottom) > EPS_WEIGHT
    return np.where(defined, top / np.where(defined, bottom, 1.0), np.nan)


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))
