"""Referral: answer where the model is sure enough, leave the rest to a person."""

from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.coverage import coverage
from dermasense.evaluation.decisions import require_fitted
from dermasense.evaluation.decisions.shares import Ratios
from dermasense.evaluation.predictions import Predictions

# An accuracy of fewer answers than this is no accuracy to choose by.
LEAST = 30


@dataclass(frozen=True)
class Referral:
    """Refers where the largest probability is below the threshold (Chow 1970).

    The threshold is the lowest (the most images answered) at which the answered images of
    validation are right as often as asked, or at which the share asked for is answered. It
    promises nothing for other images, unlike risk_control; the judgement says what it reaches.

    Args:
        accuracy: wanted among the answered, 0..1; None where `share` is given.
        share: of the images to be answered, 0..1.
        class_names, threshold, n: fitted on n images.
    """

    name: ClassVar[str] = "referral"
    kind: ClassVar[str] = "refer"
    accuracy: float | None = 0.9
    share: float | None = None
    class_names: tuple[str, ...] = ()
    threshold: float = 0.0
    n: int = 0

    def fit(self, validation: Predictions) -> Self:
        """The threshold of a validation table.

        Raises:
            DermaSenseError: neither or both of accuracy and share, or an accuracy that validation
                does not reach at any threshold.
        """
        wanted = self.accuracy if self.share is None else self.share
        if (self.accuracy is None) == (self.share is None) or not 0 < wanted <= 1:
            raise DermaSenseError(
                f"decision.accuracy={self.accuracy}, decision.share={self.share}: give one of "
                "them, between 0 and 1, and null for the other."
            )
        p = softmax(validation.logits.astype(np.float64), axis=1)
        confidence, right = p.max(axis=1), p.argmax(axis=1) == validation.labels
        order = np.argsort(-confidence, kind="stable")
        answered = np.arange(1, len(order) + 1)
        # Equal confidences are answered together or not at all.
        last = np.append(np.diff(confidence[order]) < 0, True)
        if self.share is None:
            so_far = np.cumsum(right[order]) / answered
            good = last & (so_far >= wanted) & (answered >= min(LEAST, len(order)))
            if not good.any():
                best = so_far[min(LEAST, len(order)) - 1 :].max()
                raise DermaSenseError(
                    f"decision.accuracy={wanted}: no threshold reaches it on these {len(order)} "
                    f"validation images (the best is {best:.3f} among the surest); ask for less."
                )
            place = np.flatnonzero(good).max()
        else:
            place = np.flatnonzero(last & (answered >= wanted * len(order) - 1e-9)).min()
        threshold = float(confidence[order][place])
        names = validation.class_names
        return replace(self, class_names=names, threshold=threshold, n=len(order))

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Whether to leave each image to a person, bool (N,)."""
        require_fitted(self.class_names, self.name)
        return softmax(np.asarray(logits, np.float64), axis=1).max(axis=1) < self.threshold

    def judge(self, test: Predictions, *, resamples: int = 1000, seed: int = 0) -> dict:
        """What is reached on other images (each image counts once).

        Returns:
            answered (share), accuracy among the answered, accuracy_of_all, accuracy_of_referred,
            and area: the mean accuracy over all shares, see :func:`coverage`.
        """
        test = test.in_order(self.class_names)
        answer = ~self.apply(test.logits)
        right = (test.logits.argmax(axis=1) == test.labels).astype(float)
        ratio = Ratios(test.groups, resamples, seed)
        return {
            "answered": ratio(answer).as_dict(),
            "accuracy": ratio(right * answer, answer).as_dict(),
            "accuracy_of_all": ratio(right).as_dict(),
            "accuracy_of_referred": ratio(right * ~answer, ~answer).as_dict(),
            "area": coverage(test, points=1, resamples=1, seed=seed).area,
        }

    def as_dict(self) -> dict:
        """name, accuracy, share, class_names, threshold, n."""
        return {"name": self.name, **asdict(self)}


METHOD = Referral
