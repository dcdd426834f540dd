"""Calibrators: fit on validation, apply to another table. One method a file, one contract.

A calibrator never sees test labels: fit it on a validation table, hand it the test table, and judge
before and after with :func:`dermasense.evaluation.compare.differences` (nll, brier, ece).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np

from dermasense.errors import DermaSenseError, nearest
from dermasense.evaluation.calibration.prior_shift import PriorShift
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.calibration.vector import VectorScaling
from dermasense.evaluation.predictions import Predictions


class Calibrator(Protocol):
    """What every method offers."""

    def fit(self, validation: Predictions) -> Self:
        """A fitted copy."""

    def apply(self, predictions: Predictions) -> Predictions:
        """The same images with calibrated logits."""

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits (N, C) of logits (N, C) in the class order of the fit."""

    def as_dict(self) -> dict:
        """Its fitted numbers, for model.json and reports."""

    @property
    def n_fitted(self) -> int:
        """How many numbers it fits: many leave less of validation for what is fitted after it."""


CALIBRATORS = {"temperature": Temperature, "vector": VectorScaling, "prior_shift": PriorShift}


def build_calibrator(name: str, **options) -> Calibrator:
    """A calibrator by name, not yet fitted.

    Raises:
        DermaSenseError: no such method.
    """
    if name not in CALIBRATORS:
        raise DermaSenseError(f"No calibrator {name}; {nearest(name, CALIBRATORS)}")
    return CALIBRATORS[name](**options)


def restore_calibrator(entry: Any, class_names: Sequence[str]) -> Calibrator:
    """The fitted calibrator of what `as_dict` gave, as model.json holds it.

    Args:
        entry: the key `calibration`.
        class_names: the order of the logits, whatever that of the entry is.

    Raises:
        DermaSenseError: no such method, or numbers that are missing or make no sense.
    """
    if not isinstance(entry, Mapping):
        raise DermaSenseError(f"model.json: calibration is {entry!r}; calibrate the bundle again")
    names, name = tuple(class_names), entry.get("name")
    try:
        if name == "temperature":
            return Temperature(value=_above_0("the temperature", entry["value"]))
        if name == "vector":
            classes = [entry["classes"][each] for each in names]
            slope, offset = (
                tuple(_number(f"calibration.{key}", one[key]) for one in classes)
                for key in ("slope", "offset")
            )
            return VectorScaling(class_names=names, slope=slope, offset=offset)
        if name == "prior_shift":
            offsets = (_number("calibration.offsets", entry["offsets"][each]) for each in names)
            return PriorShift(class_names=names, offset=tuple(offsets))
    except KeyError as error:
        raise DermaSenseError(
            f"model.json: the calibration '{name}' lacks {error}; calibrate the bundle again"
        ) from None
    raise DermaSenseError(
        f"model.json: calibration.name is {name!r}, which this DermaSense does not know; update "
        "it, or calibrate the bundle again"
    )


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise DermaSenseError(
            f"model.json: {key} is {value!r}, not a number; calibrate the bundle again"
        )
    return float(value)


def _above_0(key: str, value: Any) -> float:
    number = _number(key, value)
    if number <= 0:
        raise DermaSenseError(
            f"model.json: {key} is {number:g}, not above 0; calibrate the bundle again"
        )
    return number
