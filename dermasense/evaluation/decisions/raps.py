"""RAPS: APS that pays for every class beyond the first few, so that no set grows very large."""

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
class Raps:
    """APS with the penalty * max(0, rank - free) added (Angelopoulos et al. 2021; MAPIE).

    A fifth of the validation lesions chooses penalty and free ranks, the others the threshold. For
    many classes; with seven it differs little from APS.

    Args:
        alpha: share of sets that may lack the true class, 0..1.
        class_names, threshold, penalty, free, n: fitted; n lesions stand behind them.
    """

    name: ClassVar[str] = "raps"
    kind: ClassVar[str] = "set"
    alpha: float = 0.1
    class_names: tuple[str, ...] = ()
    threshold: float = 1.0
    penalty: float = 0.0
    free: float = 0.0
    n: int = 0

    def fit(self, validation: Predictions) -> Self:
        """Threshold and penalty of a validation table, by one image a lesion.

        Raises:
            DermaSenseError: alpha out of range, or too few lesions for it; a class with one.
        """
        check_alpha(self.alpha)
        one = one_per_group(validation)
        p = softmax(one.logits.astype(np.float64), axis=1)
        found = conformalised(p, one.labels, self.alpha, "raps")
        return replace(
            self,
            class_names=one.class_names,
            threshold=float(found.quantiles_[0]),
            penalty=float(np.ravel(found.lambda_star)[0]),
            free=float(np.ravel(found.k_star)[0]),
            n=len(one),
        )

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Which classes are in each set, bool (N, C)."""
        require_fitted(self.class_names, self.name)
        return ranked_sets(logits, self.threshold, self.penalty, self.free)

    def judge(self, test: Predictions, *, resamples: int = 1000, seed: int = 0) -> dict:
        """Coverage and size; see :func:`judge_sets`."""
        test = test.in_order(self.class_names)
        return judge_sets(self.apply(test.logits), test, resamples=resamples, seed=seed)

    def as_dict(self) -> dict:
        """name, alpha, class_names, threshold, penalty, free, n."""
        return {"name": self.name, **asdict(self)}


METHOD = Raps
