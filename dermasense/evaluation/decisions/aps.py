"""APS: sets that grow with the doubt about a single image."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from dermasense.evaluation.decisions import require_fitted
from dermasense.evaluation.decisions.conformal import OneThreshold, ranked_sets


@dataclass(frozen=True)
class Aps(OneThreshold):
    """The most probable classes until they sum up to the threshold (Romano et al. 2020; MAPIE).

    More even between easy and hard images than LAC, and larger. Never empty; see
    :func:`ranked_sets` for why it covers more often than asked for.
    """

    name: ClassVar[str] = "aps"

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Which classes are in each set, bool (N, C)."""
        require_fitted(self.class_names, self.name)
        return ranked_sets(logits, self.threshold)


METHOD = Aps
