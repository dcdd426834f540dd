"""LAC: the smallest sets on average that hold the true class in 1 - alpha of all cases."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import softmax

from dermasense.evaluation.decisions import require_fitted
from dermasense.evaluation.decisions.conformal import EPSILON, OneThreshold


@dataclass(frozen=True)
class Lac(OneThreshold):
    """Class c is in the set where 1 - p_c <= threshold (Sadinle, Lei & Wasserman 2019; MAPIE).

    The coverage holds over all images together: rare classes may be covered far less often than
    1 - alpha, frequent ones more often (see class_conditional). A set may be empty: no class is
    probable enough.
    """

    name: ClassVar[str] = "lac"

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Which classes are in each set, bool (N, C)."""
        require_fitted(self.class_names, self.name)
        return 1 - softmax(np.asarray(logits, np.float64), axis=1) <= self.threshold + EPSILON


METHOD = Lac
