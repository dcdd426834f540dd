"""APS: sets that grow with the doubt about a single image."""

from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import softmax

from dermasense.evaluation.decisions import require_fitted
from dermasense.evaluation.decisions.conformal import (
    check_alpha,
    conformalised,
    judge_sets,
    ranked_sets,
)
from dermasense.evaluation.decisions.shares import one_per_group
from dermasense.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Aps:
    """The most probable classes until they sum up to the threshold (Romano et al. 2020; MAPIE).

    More even between easy and hard images than LAC, and larger. Never empty; see
    :func:`ranked_sets` for why it covers more often than asked for.

    Args:
        alpha: share of sets that may lack the true class, 0..1.
        class_names, threshold, n: fitted; n lesions stand behind it.
    """

    name: ClassVar[str] = "aps"
    kind: ClassVar[str] = "set"
    alpha: float = 0.1
    class_names: tuple[str, ...] = ()
    threshold: float = 1.0
    n: int = 0

    def fit(self, validation: Predictions) -> Self:
        """The threshold of a validation table, by one image a lesion.

        Raises:
            DermaSenseError: alpha out of range, or too few lesions for it.
        """
        check_alpha(self.alpha)
        one = one_per_group(validation)
        p = softmax(one.logits.astype(np.float64), axis=1)
        found = conformalised(p, one.labels, self.alpha, "aps")
        threshold = float(found.quantiles_[0])
        return replace(self, class_names=one.class_names, threshold=threshold, n=len(one))

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Which classes are in each set, bool (N, C)."""
        require_fitted(self.class_names, self.name)
        return ranked_sets(logits, self.threshold)

    def judge(self, test: Predictions, *, resamples: int = 1000, seed: int = 0) -> dict:
        """Coverage and size; see :func:`judge_sets`."""
        test = test.in_order(self.class_names)
        return judge_sets(self.apply(test.logits), test, resamples=resamples, seed=seed)

    def as_dict(self) -> dict:
        """name, alpha, class_names, threshold, n."""
        return {"name": self.name, **asdict(self)}


METHOD = Aps
