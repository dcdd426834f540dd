"""Vector scaling: a slope and an offset for each class."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from dermasense.errors import DermaSenseError
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.predictions import Predictions


@dataclass(frozen=True)
class VectorScaling:
    """Logits z_c -> w_c z_c + b_c, which minimise the NLL of validation (Guo et al. 2017, 4.2).

    Unlike a temperature it moves classes against each other, and so changes answers. It has 2 C
    numbers to fit: a class with a handful of validation images is held near the model's own by the
    ridge. A class without any has no part in the fit, which would rule it out: it keeps the odds
    against the others that a temperature gives it.

    Args:
        ridge: strength of the pull towards w = 1, b = 0, in images; the penalty is
            ridge / (2 n) * (|w - 1|^2 + |b|^2).
        class_names, slope, offset: the fitted numbers.
        absent: classes without validation images.
    """

    ridge: float = 1.0
    class_names: tuple[str, ...] = ()
    slope: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    absent: tuple[str, ...] = ()

    def fit(self, validation: Predictions) -> Self:
        """The slopes and offsets of a validation table."""
        logits, labels = validation.logits.astype(np.float64), validation.labels
        seen = np.bincount(labels, minlength=logits.shape[1]) > 0
        slope, offset = np.ones(len(seen)), np.zeros(len(seen))
        codes = np.cumsum(seen) - 1
        slope[seen], offset[seen] = _fitted(logits[:, seen], codes[labels], self.ridge)
        if not seen.all():
            plain = Temperature().fit(validation)
            common = 1.0 if plain.at_bound else 1 / plain.value
            scaled = logits[:, seen] * slope[seen] + offset[seen]
            slope[~seen], offset[~seen] = common, _shift(common * logits[:, seen], scaled)
        return replace(
            self,
            class_names=validation.class_names,
            slope=tuple(slope.tolist()),
            offset=tuple(offset.tolist()),
            absent=tuple(validation.class_names[code] for code in np.flatnonzero(~seen)),
        )

    def apply(self, predictions: Predictions) -> Predictions:
        """The table with scaled logits, its classes in the order of the fit.

        Raises:
            DermaSenseError: not fitted, or fitted on other classes.
        """
        if not self.class_names:
            raise DermaSenseError("Fit vector scaling on a validation table before it is applied.")
        table = predictions.in_order(self.class_names)
        return table.with_logits(self.logits(table.logits))

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Scaled logits of logits (N, C) in the class order of the fit."""
        return logits * np.array(self.slope) + np.array(self.offset)

    @property
    def n_fitted(self) -> int:
        """2 C."""
        return 2 * len(self.class_names)

    def as_dict(self) -> dict:
        """name, ridge, the slope and offset of each class, and the classes that are absent."""
        fitted = zip(self.class_names, self.slope, self.offset, strict=True)
        classes = {name: {"slope": w, "offset": b} for name, w, b in fitted}
        absent = list(self.absent)
        return {"name": "vector", "ridge": self.ridge, "classes": classes, "absent": absent}


def _fitted(logits: np.ndarray, labels: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and offsets, (C,) each, of classes that all have images: logits (N, C)."""
    n, classes = logits.shape
    rows, target = np.arange(n), np.eye(classes)[labels]
    start = np.concatenate([np.ones(classes), np.zeros(classes)])

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = parameters[:classes], parameters[classes:]
        logp = log_softmax(logits * slope + offset, axis=1)
        away = parameters - start
        value = -logp[rows, labels].mean() + ridge / (2 * n) * (away**2).sum()
        residual = (np.exp(logp) - target) / n
        gradient = np.concatenate([(residual * logits).sum(axis=0), residual.sum(axis=0)])
        return value, gradient + ridge / n * away

    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return found[:classes], found[classes:]


def _shift(before: np.ndarray, after: np.ndarray) -> float:
    """Mean move of the log-sum-exp of logits (N, C): what a further class must move to keep up."""
    return float((logsumexp(after, axis=1) - logsumexp(before, axis=1)).mean())
