"""Vector scaling: a slope and an offset for each class."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import Predictions


@dataclass(frozen=True)
class VectorScaling:
    """Logits z_c -> w_c z_c + b_c, which minimise the NLL of validation (Guo et al. 2017, 4.2).

    Unlike a temperature it moves classes against each other, and so changes answers. It has 2 C
    numbers to fit: a class with a handful of validation images is held near the model's own by the
    ridge, and a class without any stays nearly as it was.

    Args:
        ridge: strength of the pull towards w = 1, b = 0, in images; the penalty is
            ridge / (2 n) * (|w - 1|^2 + |b|^2).
        class_names, slope, offset: the fitted numbers.
    """

    ridge: float = 1.0
    class_names: tuple[str, ...] = ()
    slope: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()

    def fit(self, validation: Predictions) -> Self:
        """The slopes and offsets of a validation table."""
        logits, labels = validation.logits.astype(np.float64), validation.labels
        n, classes = logits.shape
        rows, target = np.arange(n), np.eye(classes)[labels]

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            slope, offset = parameters[:classes], parameters[classes:]
            logp = log_softmax(logits * slope + offset, axis=1)
            away = parameters - start
            value = -logp[rows, labels].mean() + self.ridge / (2 * n) * (away**2).sum()
            residual = (np.exp(logp) - target) / n
            gradient = np.concatenate([(residual * logits).sum(axis=0), residual.sum(axis=0)])
            return value, gradient + self.ridge / n * away

        start = np.concatenate([np.ones(classes), np.zeros(classes)])
        found = minimize(loss, start, jac=True, method="L-BFGS-B").x
        return replace(
            self,
            class_names=validation.class_names,
            slope=tuple(found[:classes].tolist()),
            offset=tuple(found[classes:].tolist()),
        )

    def apply(self, predictions: Predictions) -> Predictions:
        """The table with scaled logits, its classes in the order of the fit.

        Raises:
            DermaSenseError: not fitted, or fitted on other classes.
        """
        if not self.class_names:
            raise DermaSenseError("Fit vector scaling on a validation table before it is applied.")
        table = predictions.in_order(self.class_names)
        scaled = table.logits * np.array(self.slope) + np.array(self.offset)
        return table.with_logits(scaled)

    def as_dict(self) -> dict:
        """name, ridge, and the slope and offset of each class."""
        fitted = zip(self.class_names, self.slope, self.offset, strict=True)
        classes = {name: {"slope": w, "offset": b} for name, w, b in fitted}
        return {"name": "vector", "ridge": self.ridge, "classes": classes}
