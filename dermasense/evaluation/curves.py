"""ROC and precision-recall curves of each class, and the ranking as malignant or not."""

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

    `false_positive_rate` and `sensitivity` have one length, `precision` and `recall` another.
    `n` images carry the class.
    """

    false_positive_rate: np.ndarray
    sensitivity: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    auroc: float
    average_precision: float
    n: int


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
    false, true, _ = sk.roc_curve(positive, scores)
    precision, recall, _ = sk.precision_recall_curve(positive, scores)
    return Curve(
        false_positive_rate=false,
        sensitivity=true,
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
