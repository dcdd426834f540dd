"""Calibrators: fit on validation, apply to another table. One method a file, one contract.

A calibrator never sees test labels: fit it on a validation table, hand it the test table, and judge
before and after with :func:`dermasense.evaluation.compare.differences` (nll, brier, ece).
"""

from collections.abc import Mapping
from typing import Any, Protocol, Self

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


def restore_calibrator(entry: Mapping[str, Any]) -> Calibrator:
    """The fitted calibrator of what `as_dict` gave, as model.json holds it.

    Raises:
        DermaSenseError: no such method, or numbers that are missing.
    """
    name = str(entry.get("name"))
    try:
        if name == "temperature":
            return Temperature(value=float(entry["value"]))
        if name == "vector":
            classes = entry["classes"]
            slope, offset = (
                tuple(float(each[key]) for each in classes.values()) for key in ("slope", "offset")
            )
            return VectorScaling(class_names=tuple(classes), slope=slope, offset=offset)
        if name == "prior_shift":
            offsets = entry["offsets"]
            return PriorShift(
                class_names=tuple(offsets), offset=tuple(map(float, offsets.values()))
            )
    except KeyError as error:
        raise DermaSenseError(f"The calibration {name} lacks {error}; calibrate again.") from None
    raise DermaSenseError(f"No calibrator {name}; {nearest(name, CALIBRATORS)}")
