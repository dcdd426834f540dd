"""The CSV that ISIC 2018 Task 3 takes: image and seven probabilities; and the challenge's scores.

The format is that of https://challenge.isic-archive.com/landing/2018/47/: columns image, MEL, NV,
BCC, AKIEC, BKL, DF, VASC, values in 0..1. tests hold the scores to isic-challenge-scoring 5.6.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.metrics import average_precision_score

from dermasense.errors import DermaSenseError
from dermasense.evaluation import confusion
from dermasense.evaluation.metrics import auroc_per_class, plain
from dermasense.evaluation.predictions import Predictions
from dermasense.files import write_atomically

COLUMNS = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
THRESHOLD = 0.5  # of the challenge's sensitivity and specificity


def is_isic(class_names: tuple[str, ...]) -> bool:
    """Whether the classes are the challenge's seven, in any order and case."""
    return sorted(name.upper() for name in class_names) == sorted(COLUMNS)


def write_submission(path: str | Path, predictions: Predictions) -> Path:
    """Write the probabilities of a table, rows in its order.

    Raises:
        DermaSenseError: the classes are not the challenge's seven.
    """
    table = pd.DataFrame(softmax(_in_order(predictions), axis=1), columns=list(COLUMNS))
    table.insert(0, "image", predictions.frame["image_id"].astype(str).to_numpy())
    write_atomically(Path(path), lambda temporary: table.to_csv(temporary, index=False))
    return Path(path)


@dataclass(frozen=True)
class ChallengeScores:
    """Scores of ISIC 2018 Task 3; a score of a class that has no image, or all, is NaN.

    Attributes:
        balanced_accuracy: the goal metric, mean recall of the most probable class.
        auc, average_precision, sensitivity, specificity: by class, as COLUMNS; the last two count
            a class as found where its probability is above .5.
    """

    balanced_accuracy: float
    auc: dict[str, float]
    average_precision: dict[str, float]
    sensitivity: dict[str, float]
    specificity: dict[str, float]

    def as_dict(self) -> dict:
        """balanced_accuracy, and by class the other four; None where a score is NaN."""
        kinds = ("auc", "average_precision", "sensitivity", "specificity")
        classes = {
            name: {kind: plain(getattr(self, kind)[name]) for kind in kinds} for name in COLUMNS
        }
        return {"balanced_accuracy": plain(self.balanced_accuracy), "classes": classes}


def challenge_scores(predictions: Predictions) -> ChallengeScores:
    """The challenge's scores of a table.

    Raises:
        DermaSenseError: the classes are not the challenge's seven.
    """
    shares = softmax(_in_order(predictions), axis=1)
    codes = {name: code for code, name in enumerate(COLUMNS)}
    labels = np.array([codes[str(label).upper()] for label in predictions.frame["label"]])
    counts = confusion.confusion_matrix(labels, shares.argmax(axis=1), len(COLUMNS))
    found, true = shares > THRESHOLD, np.eye(len(COLUMNS), dtype=bool)[labels]

    def share(of: np.ndarray, among: np.ndarray) -> dict[str, float]:
        total = among.sum(axis=0)
        values = np.where(total, (of & among).sum(axis=0) / np.maximum(total, 1), np.nan)
        return _by_class(values)

    precision = [
        average_precision_score(true[:, c], shares[:, c]) if true[:, c].any() else np.nan
        for c in range(len(COLUMNS))
    ]
    return ChallengeScores(
        float(confusion.balanced_accuracy(counts)),
        _by_class(auroc_per_class(shares, labels)),
        _by_class(precision),
        share(found, true),
        share(~found, ~true),
    )


def _by_class(values) -> dict[str, float]:
    return {name: float(value) for name, value in zip(COLUMNS, values, strict=True)}


def _in_order(predictions: Predictions) -> np.ndarray:
    names = predictions.class_names
    if not is_isic(names):
        raise DermaSenseError(
            f"The ISIC 2018 challenge has the classes {', '.join(COLUMNS)}, the table has "
            f"{', '.join(names)}; only a table of these seven can be submitted."
        )
    own = [name.upper() for name in names]
    return predictions.logits[:, [own.index(name) for name in COLUMNS]].astype(np.float64)
