"""From logits to what is said: calibrated probabilities, conformal set, refer or answer.

All numbers come from model.json, where they were written after a fit on validation images:
`temperature`, `calibration` (where present it takes the temperature's place) and `decision`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from dermasense.errors import DermaSenseError, nearest


@dataclass(frozen=True)
class Decision:
    """How a bundle turns logits into an answer.

    Args:
        class_names: order of the logits.
        temperature: logits are divided by it.
        calibration: `as_dict` of a calibrator, which then takes the temperature's place.
        set_threshold: a class is in the set where 1 - probability is at most this (LAC, Sadinle et
            al. 2019); None without a set.
        referral: an answer below this probability is referred; None without a rule.
    """

    class_names: tuple[str, ...]
    temperature: float = 1.0
    calibration: Mapping[str, Any] | None = None
    set_threshold: float | None = None
    referral: float | None = None

    @classmethod
    def of(cls, class_names: Sequence[str], info: Mapping[str, Any]) -> "Decision":
        """The settings of a bundle.

        Args:
            class_names: order of the logits.
            info: `Bundle.info`.

        Raises:
            DermaSenseError: settings that this version does not know, or without their numbers.
        """
        names = tuple(class_names)
        calibration, decision = info.get("calibration"), info.get("decision") or {}
        made = cls(
            names,
            float(info["temperature"]),
            calibration,
            _threshold(decision),
            _number("decision.referral", decision.get("referral")),
        )
        made.probabilities(np.zeros((1, len(names))))  # a calibration without its numbers shows now
        return made

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, C) float64 of logits (N, C)."""
        logits = np.asarray(logits, np.float64)
        if self.calibration is None:
            return softmax(logits / self.temperature, axis=1)
        return softmax(_calibrated(logits, self.calibration, self.class_names), axis=1)

    def sets(self, probabilities: np.ndarray) -> list[tuple[int, ...] | None]:
        """Classes in the set of each row, most probable first; None without a set."""
        if self.set_threshold is None:
            return [None] * len(probabilities)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            tuple(int(c) for c in ranked if 1 - row[c] <= self.set_threshold)
            for row, ranked in zip(probabilities, order, strict=True)
        ]

    def refers(self, probabilities: np.ndarray) -> list[bool | None]:
        """True where the rule refers, False where it does not, None without a rule."""
        if self.referral is None:
            return [None] * len(probabilities)
        return [bool(top < self.referral) for top in probabilities.max(axis=1)]


def _threshold(decision: Mapping[str, Any]) -> float | None:
    name = decision.get("name")
    if name is None:
        return None
    if name != "lac":
        raise DermaSenseError(
            f"model.json: decision.name is {name!r}, which this DermaSense does not know "
            f"({nearest(name, ['lac'])}); update it, or calibrate the bundle again"
        )
    return _number("decision.threshold", decision.get("threshold"), needed=True)


def _number(key: str, value: Any, needed: bool = False) -> float | None:
    if value is None and not needed:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise DermaSenseError(
            f"model.json: {key} is {value!r}, not a number; calibrate the bundle again"
        )
    return float(value)


def _calibrated(
    logits: np.ndarray, calibration: Mapping[str, Any], names: tuple[str, ...]
) -> np.ndarray:
    name = calibration.get("name")
    try:
        if name == "temperature":
            return logits / calibration["value"]
        if name == "vector":
            fitted = [calibration["classes"][each] for each in names]
            slope, offset = ([one[key] for one in fitted] for key in ("slope", "offset"))
            return logits * np.array(slope) + np.array(offset)
        if name == "prior_shift":
            return logits + np.array([calibration["offsets"][each] for each in names])
    except (KeyError, TypeError) as error:
        raise DermaSenseError(
            f"model.json: the calibration '{name}' lacks {error}; calibrate the bundle again"
        ) from None
    raise DermaSenseError(
        f"model.json: calibration.name is {name!r}, which this DermaSense does not know; update "
        "it, or calibrate the bundle again"
    )
