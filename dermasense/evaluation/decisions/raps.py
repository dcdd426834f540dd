"""RAPS: APS that pays for every class beyond the first few, so that no set grows very large."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from dermasense.evaluation.decisions import require_fitted
from dermasense.evaluation.decisions.conformal import OneThreshold, ranked_sets


@dataclass(frozen=True)
class Raps(OneThreshold):
    """APS with the penalty * max(0, rank - free) added (Angelopoulos et al. 2021; MAPIE).

    A fifth of the validation lesions chooses penalty and free ranks, the others the threshold. For
    many classes; with seven it differs little from APS.

    Args:
        penalty, free: fitted.
    """

    name: ClassVar[str] = "raps"
    penalty: float = 0.0
    free: float = 0.0

    def _fitted(self, found: Any) -> dict[str, float]:
        return {
            **super()._fitted(found),
            "penalty": float(np.ravel(found.lambda_star)[0]),
            "free": float(np.ravel(found.k_star)[0]),
        }

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Which classes are in each set, bool (N, C)."""
        require_fitted(self.class_names, self.name)
        return ranked_sets(logits, self.threshold, self.penalty, self.free)


METHOD = Raps
