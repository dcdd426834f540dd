"""ROC and precision-recall curves of each class, and operating points of the malignant group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from sklearn import metrics as sk

from dermasense.errors import DermaSenseError
from dermasense.evaluation.malignant import malignant_classes, malignant_mask
from dermasense.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Curve:
    """One class against the rest, by scikit-learn; thresholds from strict to lax.

    `false_positive_rate`, `sensitivity` and `roc_thresholds` have one length, `precision` and
    `recall` another. `n` images carry the class.
    """

    false_positive_rate: np.ndarray
    sensitivity: np.ndarray
    roc_thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    auroc: float
    average_precision: float
    n: int


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does: positive is a score of at least `threshold`."""

    threshold: float
    sensitivity: float
    specificity: float
    n_positive: int
    n_negative: int


def class_curves(predictions: Predictions) -> dict[str, Curve | None]:
    """The curves of every class; None where it has no image, or all of them."""
    probabilities = softmax(predictions.logits.astype(np.float64), axis=1)
    return {
        name: curve(probabilities[:, i], predictions.labels == i)
        for i, name in enumerate(predictions.class_names)
    }


def curve(scores: np.ndarray, positive: np.ndarray) -> Curve | None:
    """The curves of a ranking, scores and booleans of shape (N,); None without both sides."""
    if positive.all() or not positive.any():
        return None
    false, true, thresholds = sk.roc_curve(positive, scores)
    precision, recall, _ = sk.precision_recall_curve(positive, scores)
    return Curve(
        false_positive_rate=false,
        sensitivity=true,
        roc_thresholds=thresholds,
        precision=precision[::-1],
        recall=recall[::-1],
        auroc=float(sk.roc_auc_score(positive, scores)),
        average_precision=float(sk.average_precision_score(positive, scores)),
        n=int(positive.sum()),
    )


def malignant_ranking(
    predictions: Predictions, malignant: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Summed probability of the malignant classes and whether an image has one of them, (N,) each.

    Args:
        predictions: the table.
        malignant: names of classes; None for those that are known by name.

    Raises:
        DermaSenseError: no class of the table is malignant, or all of them are.
    """
    ill = malignant_mask(predictions.class_names, malignant)
    if ill.all() or not ill.any():
        names = predictions.class_names
        known = ", ".join(malignant_classes(names) if malignant is None else malignant)
        raise DermaSenseError(
            f"Of the classes {', '.join(names)}, {'all' if ill.all() else 'none'} are among the "
            f"malignant ones ({known or 'by name'}); name those that are."
        )
    probabilities = softmax(predictions.logits.astype(np.float64), axis=1)
    return probabilities[:, ill].sum(axis=1), ill[predictions.labels]


def operating_point(
    scores: np.ndarray,
    positive: np.ndarray,
    *,
    specificity: float | None = None,
    sensitivity: float | None = None,
) -> OperatingPoint:
    """The threshold that gives the most of one rate while the other is at least as asked.

    Choose it on validation and judge it on test with :func:`at_threshold`: the rate that it was
    asked for holds on the rows it was chosen on, and only nearly on others.

    Args:
        scores: shape (N,), higher is more suspicious.
        positive: booleans, shape (N,).
        specificity, sensitivity: the rate that must be reached, 0..1; exactly one of the two.

    Raises:
        DermaSenseError: both or neither rate, a rate outside 0..1, or a side without images.
    """
    asked = [rate for rate in (specificity, sensitivity) if rate is not None]
    if len(asked) != 1 or not 0 <= asked[0] <= 1:
        raise DermaSenseError("Give one of specificity and sensitivity, a number from 0 to 1.")
    if positive.all() or not positive.any():
        raise DermaSenseError(
            f"{int(positive.sum())} of {len(positive)} images are positive; an operating point "
            "needs both sides."
        )
    false, true, thresholds = sk.roc_curve(positive, scores, drop_intermediate=False)
    if specificity is not None:
        best = np.flatnonzero(1 - false >= specificity - 1e-9)[-1]
    else:
        best = np.flatnonzero(true >= sensitivity - 1e-9)[0]
    return at_threshold(scores, positive, float(thresholds[best]))


def at_threshold(scores: np.ndarray, positive: np.ndarray, threshold: float) -> OperatingPoint:
    """What a threshold that was chosen elsewhere does here; a rate of no images is NaN."""
    flagged = scores >= threshold
    hits, cleared = flagged[positive], ~flagged[~positive]
    return OperatingPoint(
        threshold=threshold,
        sensitivity=float(hits.mean()) if len(hits) else np.nan,
        specificity=float(cleared.mean()) if len(cleared) else np.nan,
        n_positive=len(hits),
        n_negative=len(cleared),
    )
