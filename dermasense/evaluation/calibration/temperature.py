"""Temperature scaling: one number that makes all answers more or less sure."""

from dataclasses import asdict, dataclass, replace
from typing import Self

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from dermasense.evaluation.predictions import Predictions

# Where validation is (nearly) all right, the likelihood asks for an infinitely sure model; beyond
# these bounds it is the bounds that speak, and `at_bound` says so.
LOWEST, HIGHEST = 0.05, 20.0


@dataclass(frozen=True)
class Temperature:
    """Logits divided by T, which minimises the NLL of validation (Guo et al. 2017, section 4.2).

    It changes no answer, and no ranking within an image. What it cannot mend: a shift of single
    classes (made by resampling, see PriorShift), a group that is less calibrated than the others,
    and images unlike those of validation.

    Args:
        value: T > 0; above 1 the model was too sure.
        at_bound: T is not settled by the data: the fit ended at the edge of what is allowed, or
            every T fits as well, where T is 1.
    """

    value: float = 1.0
    at_bound: bool = False

    def fit(self, validation: Predictions) -> Self:
        """The T of a validation table."""
        logits, labels = validation.logits.astype(np.float64), validation.labels
        if (logits == logits[:, :1]).all():
            return replace(self, value=1.0, at_bound=True)
        rows = np.arange(len(labels))

        def nll(log_t: float) -> float:
            return -log_softmax(logits / np.exp(log_t), axis=1)[rows, labels].mean()

        bounds = np.log(LOWEST), np.log(HIGHEST)
        found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x
        at_bound = min(found - bounds[0], bounds[1] - found) < 1e-3
        return replace(self, value=float(np.exp(found)), at_bound=bool(at_bound))

    def apply(self, predictions: Predictions) -> Predictions:
        """The table with its logits divided by T."""
        return predictions.with_logits(self.logits(predictions.logits))

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Logits (N, C) divided by T."""
        return logits / self.value

    @property
    def n_fitted(self) -> int:
        """One."""
        return 1

    def as_dict(self) -> dict:
        """name, value, at_bound."""
        return {"name": "temperature", **asdict(self)}
