"""Group-conditional sets: covered in 1 - alpha of the cases of each skin type, sex or age band."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import softmax

from dermasense.evaluation.decisions import require_fitted
from dermasense.evaluation.decisions.conformal import (
    EPSILON,
    check_alpha,
    conformalised,
    judge_sets,
    needed,
)
from dermasense.evaluation.decisions.shares import one_per_group
from dermasense.evaluation.fairness.bands import attribute_codes, banded, banding
from dermasense.evaluation.predictions import Predictions


@dataclass(frozen=True)
class GroupConditional:
    """LAC with one threshold a group of images (Vovk 2012, "Mondrian"; Romano et al. 2020b).

    Groups are those of the fairness part: skin types in pairs, ages in twenties, so banded as the
    validation table was, whatever other rows stand beside an image. Who has no known group, or one
    with too few lesions in validation, gets the most careful of all thresholds.

    Args:
        attribute: column of the table.
        alpha: share of sets that may lack the true class, in each group, 0..1.
        class_names, thresholds, n: fitted; n lesions stand behind each group's threshold.
        banding: fitted, how values become groups, one of `BANDINGS`.
    """

    name: ClassVar[str] = "group_conditional"
    kind: ClassVar[str] = "set"
    attribute: str = "skin_type"
    alpha: float = 0.1
    class_names: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    n: Mapping[str, int] = field(default_factory=dict)
    banding: str = ""

    def fit(self, validation: Predictions) -> Self:
        """The thresholds of a validation table, by one image a lesion.

        Raises:
            DermaSenseError: no such attribute, alpha out of range, or too few lesions for it.
        """
        check_alpha(self.alpha)
        one = one_per_group(validation)
        wanted = f"decision.attribute={self.attribute}"
        codes, names = attribute_codes(one.frame, self.attribute, wanted)
        p = softmax(one.logits.astype(np.float64), axis=1)
        whole = conformalised(p, one.labels, self.alpha, "lac")
        thresholds, n = {"": float(whole.quantiles_[0])}, {"": len(one)}
        for code, name in enumerate(names):
            own = codes == code
            n[name] = int(own.sum())
            if n[name] >= needed(self.alpha):
                found = conformalised(p[own], one.labels[own], self.alpha, "lac")
                thresholds[name] = float(found.quantiles_[0])
        how = banding(self.attribute, one.frame[self.attribute])
        return replace(self, class_names=one.class_names, thresholds=thresholds, n=n, banding=how)

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Which classes are in each set, bool (N, C); without a frame nobody's group is known."""
        require_fitted(self.class_names if self.banding else (), self.name)
        careful = max(self.thresholds.values())
        limit = np.full((len(logits), 1), careful)
        if frame is not None and self.attribute in frame:
            words = banded(self.attribute, frame[self.attribute], self.banding)
            limit[:, 0] = [self.thresholds.get(word or "?", careful) for word in words]
        return 1 - softmax(np.asarray(logits, np.float64), axis=1) <= limit + EPSILON

    def judge(self, test: Predictions, *, resamples: int = 1000, seed: int = 0) -> dict:
        """Coverage and size; see :func:`judge_sets`."""
        test = test.in_order(self.class_names)
        members = self.apply(test.logits, test.frame)
        return judge_sets(members, test, resamples=resamples, seed=seed)

    def as_dict(self) -> dict:
        """name, attribute, alpha, class_names, thresholds ("" is of all together), n, banding."""
        return {"name": self.name, **asdict(self)}


METHOD = GroupConditional
