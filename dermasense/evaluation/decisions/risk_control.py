"""Risk control: an alarm that misses at most so many melanomas, with a stated confidence."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import softmax
from scipy.stats import binom

from dermasense.errors import DermaSenseError, nearest
from dermasense.evaluation.decisions import named_classes, require_fitted
from dermasense.evaluation.decisions.shares import Ratios, one_per_group, votes
from dermasense.evaluation.predictions import Predictions

BOUNDS = ("exact", "mapie")


@dataclass(frozen=True)
class RiskControl:
    """An alarm where the summed probability of some classes is at least the threshold.

    With confidence 1 - delta (over the draw of the validation lesions) the threshold keeps the
    sensitivity at or above `sensitivity`. "exact": the k-th smallest score of the n lesions of
    these classes, with the largest k that has P(Bin(n, 1 - sensitivity) <= k - 1) <= delta: a
    tolerance limit (Wilks 1941), and Clopper and Pearson's (1934) bound seen from the other side.
    "mapie": MAPIE's Learn-then-Test (Angelopoulos et al. 2021, fixed sequence), whose p-values
    (Hoeffding and Bentkus) hold for any loss and are wider than a count of misses needs.

    Args:
        classes: the classes that must not be missed.
        sensitivity: what is to be kept, 0..1.
        delta: how often the promise may be broken, 0..1.
        bound: "exact" or "mapie".
        class_names, threshold, n: fitted; n lesions of these classes stand behind it.
    """

    name: ClassVar[str] = "risk_control"
    kind: ClassVar[str] = "alarm"
    classes: Sequence[str] = ("mel",)
    sensitivity: float = 0.9
    delta: float = 0.1
    bound: str = "exact"
    class_names: tuple[str, ...] = ()
    threshold: float = 0.0
    n: int = 0

    def fit(self, validation: Predictions) -> Self:
        """The threshold of a validation table, by one image a lesion.

        Raises:
            DermaSenseError: unknown classes, options out of range, or too few lesions to promise
                anything but an alarm for everyone.
        """
        self._check()
        classes = named_classes("decision.classes", self.classes, validation.class_names)
        return replace(self, classes=classes)._fit(validation)

    def _fit(self, validation: Predictions) -> Self:
        one = one_per_group(validation)
        ill = self._ill(one)
        scores = np.sort(self._scores(one.logits, one.class_names)[ill])
        n = len(scores)
        least = int(np.ceil(np.log(self.delta) / np.log(self.sensitivity)))
        if n < least:
            raise DermaSenseError(
                f"{n} lesions of {', '.join(self.classes)} in validation cannot promise a "
                f"sensitivity of {self.sensitivity:g} with confidence {1 - self.delta:g}: that "
                f"needs {least}; ask for less, or bring more of them."
            )
        if self.bound == "exact":
            # cdf(k - 1) <= delta for k = 1 .. K; the k-th smallest score is then a safe threshold.
            # For k = 1 it is since n >= least, whatever the last bit of the cdf says.
            safe = binom.cdf(np.arange(n), n, 1 - self.sensitivity) <= self.delta
            threshold = scores[max(int(safe.sum()), 1) - 1]
        else:
            threshold = self._by_mapie(scores)
        found = {"class_names": one.class_names, "threshold": float(threshold), "n": n}
        return replace(self, **found)

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Whether there is an alarm, bool (N,)."""
        require_fitted(self.class_names, self.name)
        return self._scores(logits, self.class_names) >= self.threshold

    def judge(self, test: Predictions, *, resamples: int = 1000, seed: int = 0) -> dict:
        """What is reached on other images, each lesion with one vote.

        Returns:
            sensitivity (of these classes, and of each in `per_class`), specificity, alarms (share
            of lesions), precision, and `promised`, the sensitivity asked for.
        """
        test = test.in_order(self.class_names)
        alarm, ill = self.apply(test.logits), self._ill(test)
        ratio, vote = Ratios(test.groups, resamples, seed), votes(test.groups)
        each = {
            name: ratio(alarm * vote * own, vote * own).as_dict()
            for name in self.classes
            for own in [test.labels == self.class_names.index(name)]
        }
        return {
            "promised": self.sensitivity,
            "sensitivity": ratio(alarm * ill * vote, ill * vote).as_dict(),
            "specificity": ratio(~alarm * ~ill * vote, ~ill * vote).as_dict(),
            "alarms": ratio(alarm * vote, vote).as_dict(),
            "precision": ratio(alarm * ill * vote, alarm * vote).as_dict(),
            "per_class": each,
        }

    def as_dict(self) -> dict:
        """name, options, class_names, threshold, n."""
        return {"name": self.name, **asdict(self)}

    def _scores(self, logits: np.ndarray, names: Sequence[str]) -> np.ndarray:
        p = softmax(np.asarray(logits, np.float64), axis=1)
        return p[:, np.isin(names, list(self.classes))].sum(axis=1)

    def _ill(self, table: Predictions) -> np.ndarray:
        return np.isin(table.class_names, list(self.classes))[table.labels]

    def _by_mapie(self, scores: np.ndarray) -> float:
        from mapie.risk_control import BinaryClassificationController

        thresholds = np.concatenate([[0.0], np.geomspace(1e-4, 0.99, 200)])  # fixed before the data
        controller = BinaryClassificationController(
            lambda score: np.stack([1 - score, score], axis=1),
            "recall",
            target_level=self.sensitivity,
            confidence_level=1 - self.delta,
            list_predict_params=thresholds,
            fwer_method="fixed_sequence",
        )
        controller.calibrate(scores, np.ones(len(scores), int))
        return float(np.max(controller.valid_predict_params, initial=0.0))

    def _check(self) -> None:
        for key in ("sensitivity", "delta"):
            if not 0 < getattr(self, key) < 1:
                raise DermaSenseError(
                    f"decision.{key}={getattr(self, key)}: expected a share between 0 and 1."
                )
        if self.bound not in BOUNDS:
            raise DermaSenseError(f"decision.bound={self.bound}; {nearest(self.bound, BOUNDS)}")


METHOD = RiskControl
