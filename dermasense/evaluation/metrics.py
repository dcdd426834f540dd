"""Numbers from a predictions table: the full summary of a split, and the cheap ones for an epoch.

A metric that is not defined (a class without images has no recall) is None in a summary and NaN in
:func:`quick`, never a silent 0. How a metric treats an absent class stands in its docstring.
"""

import math

import numpy as np
from scipy.special import log_softmax
from sklearn import metrics as sk

from dermasense.errors import DermaSenseError
from dermasense.evaluation import confusion
from dermasense.evaluation.predictions import Predictions, groups_across_folds
from dermasense.evaluation.protocol import LEAKY, is_leaky

# Names that a callback may monitor, and the direction that is better. `loss` is the trainer's own.
MONITORS = {
    "top1": "max",
    "top2": "max",
    "balanced_accuracy": "max",
    "macro_f1": "max",
    "nll": "min",
    "ece": "min",
    "loss": "min",
}


def summarise(predictions: Predictions, *, split_protocol: str) -> dict:
    """All metrics of one split, ready for metrics.json.

    Args:
        predictions: the table, N images of C classes.
        split_protocol: how the split was made, in the words that are shown: those of
            `protocol.py`, or another source's own ("official external test set").

    Returns:
        protocol, n, n_groups, top1, top2 (None for two classes: any answer is right),
        balanced_accuracy, macro_f1, micro_f1, weighted_f1, kappa, auroc_macro, nll (nats), brier
        (0..2), ece, per_class {name: precision, recall, f1, n}, confusion_matrix (rows are true
        classes) and class_names. Floats, or None where not defined.

        Absent classes follow scikit-learn's rules: balanced_accuracy is the mean over the classes
        that occur in the labels, macro_f1 over those that occur in the labels or in the answers
        (an F1 of 0 for one that is only answered). auroc_macro is the mean over the classes that
        have images on both sides. kappa is None where the labels hold one class only.

    Raises:
        DermaSenseError: a group stands in several folds and the protocol does not say leaky.
    """
    _refuse_hidden_leak(predictions, split_protocol)
    logits, labels = predictions.logits.astype(np.float64), predictions.labels
    num_classes = len(predictions.class_names)
    predicted, logp = logits.argmax(axis=1), log_softmax(logits, axis=1)
    counts = confusion.confusion_matrix(labels, predicted, num_classes)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=np.arange(num_classes), zero_division=np.nan
    )
    return {
        "protocol": split_protocol,
        "n": len(predictions),
        "n_groups": predictions.n_groups,
        "top1": plain(sk.accuracy_score(labels, predicted)),
        "top2": plain(top_k(logits, labels, 2)),
        "balanced_accuracy": plain(confusion.balanced_accuracy(counts)),
        "macro_f1": plain(sk.f1_score(labels, predicted, average="macro", zero_division=0)),
        "micro_f1": plain(sk.f1_score(labels, predicted, average="micro", zero_division=0)),
        "weighted_f1": plain(sk.f1_score(labels, predicted, average="weighted", zero_division=0)),
        "kappa": plain(confusion.kappa(counts)),
        "auroc_macro": plain(_mean(auroc_per_class(np.exp(logp), labels))),
        "nll": plain(-logp[np.arange(len(labels)), labels].mean()),
        "brier": plain(brier(np.exp(logp), labels)),
        "ece": plain(ece(np.exp(logp), labels)),
        "per_class": {
            name: {
                "precision": plain(precision[i]),
                "recall": plain(recall[i]),
                "f1": plain(f1[i]),
                "n": int(support[i]),
            }
            for i, name in enumerate(predictions.class_names)
        },
        "confusion_matrix": counts.tolist(),
        "class_names": list(predictions.class_names),
    }


def quick(logits: np.ndarray, labels: np.ndarray, num_classes: int) -> dict[str, float]:
    """The cheap metrics, for the end of an epoch: about a millisecond for 1,500 x 7.

    Args:
        logits: floats, shape (N, C); a CPU tensor will do.
        labels: class indices, shape (N,).
        num_classes: C.

    Returns:
        top1, top2, balanced_accuracy, macro_f1, nll, ece: the values of :func:`summarise`. All are
        NaN where a logit is not finite (a diverged training must not look like a bad one) or where
        there is no row.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels).astype(np.int64)
    names = [name for name in MONITORS if name != "loss"]
    if len(labels) == 0 or not np.isfinite(logits).all():
        return dict.fromkeys(names, math.nan)
    logp = log_softmax(logits, axis=1)
    counts = confusion.confusion_matrix(labels, logits.argmax(axis=1), num_classes)
    values = {
        "top1": confusion.accuracy(counts),
        "top2": top_k(logits, labels, 2),
        "balanced_accuracy": confusion.balanced_accuracy(counts),
        "macro_f1": confusion.macro_f1(counts),
        "nll": -logp[np.arange(len(labels)), labels].mean(),
        "ece": ece(np.exp(logp), labels),
    }
    return {name: float(values[name]) for name in names}


def ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank of the true class, 0 is best, shape (N,).

    Among equal logits the class that stands first ranks first, as in `argmax`, so that top-1 is
    accuracy. (scikit-learn's top_k_accuracy_score lets the last one win.)
    """
    true = logits[np.arange(len(labels)), labels][:, None]
    before = np.arange(logits.shape[1]) < labels[:, None]
    return ((logits > true) | ((logits == true) & before)).sum(axis=1)


def top_k(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows whose true class is among the k best; NaN where k >= C, which all rows pass."""
    if k >= logits.shape[1]:
        return math.nan
    return float((ranks(logits, labels) < k).mean())


def auroc_per_class(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One-versus-rest area under the ROC curve per class, (C,), by scikit-learn.

    NaN for a class that has no image, or all of them. The macro value is the mean of the others.
    """
    areas = np.full(scores.shape[1], np.nan)
    for c in range(scores.shape[1]):
        positive = labels == c
        if 0 < positive.sum() < len(labels):
            areas[c] = sk.roc_auc_score(positive, scores[:, c])
    return areas


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Brier's score for many classes, the mean over rows of sum_c (p_c - [y = c])^2, 0..2.

    Brier (1950), the original definition: for two classes it is twice the halved one in use there.
    """
    target = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - target) ** 2).sum(axis=1).mean())


def confidence_bins(confidence: np.ndarray, bins: int = 15) -> np.ndarray:
    """Bin numbers 0..bins-1 of equal-width bins (lower, upper] over 0..1 (Guo et al. 2017)."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the answer's confidence, 0..1, equal-width bins.

    sum_b n_b / n * |accuracy_b - confidence_b| (Guo et al. 2017, eq. 3); empty bins add nothing.
    Equal to torchmetrics' MulticlassCalibrationError(norm="l1") but for confidences on an edge.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(labels)), predicted]
    gap = (predicted == labels).astype(float) - confidence
    return float(np.abs(np.bincount(confidence_bins(confidence, bins), gap)).sum() / len(labels))


def ece_equal_mass(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, bins: int = 15
) -> np.ndarray:
    """Expected calibration error over bins of equally many images (Nguyen & O'Connor 2015), 0..1.

    An image's bin is floor(bins * images of less confidence / all): equal confidences stay in one
    bin, and the edges are those of the weighted sample.

    Args:
        weights: shape (N, B), one value a column; none is one column of ones.

    Returns:
        Shape (B,).
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(labels)), predicted]
    order = np.argsort(confidence, kind="stable")
    gap = ((predicted == labels) - confidence)[order]
    weights = np.ones((len(labels), 1)) if weights is None else weights[order]
    first = np.searchsorted(confidence[order], confidence[order], side="left")
    total = weights.sum(axis=0)
    before = (np.cumsum(weights, axis=0) - weights)[first]
    which = np.minimum((before * bins / total).astype(np.int64), bins - 1)
    cells = which + bins * np.arange(weights.shape[1])
    sums = np.bincount(cells.ravel(), (weights * gap[:, None]).ravel(), bins * weights.shape[1])
    return np.abs(sums.reshape(-1, bins)).sum(axis=1) / total


def _refuse_hidden_leak(predictions: Predictions, protocol: str) -> None:
    shared = [] if is_leaky(protocol) else groups_across_folds(predictions.frame)
    if shared:
        raise DermaSenseError(
            f"Group {shared[0]} stands in more than one fold ({len(shared)} such groups), so these "
            f'numbers are not "{protocol}"; split by group, or call the protocol "{LEAKY}".'
        )


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else math.nan


def plain(value: float) -> float | None:
    """A score as JSON takes it: None for NaN and infinity."""
    value = float(value)
    return value if math.isfinite(value) else None
