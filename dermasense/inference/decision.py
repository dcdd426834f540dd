"""From logits to what is said: calibrated probabilities, conformal set, refer or answer.

All numbers come from model.json, where they were written after a fit on validation images:
`temperature`, `calibration` (where present it takes the temperature's place) and `decision`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.special import softmax

from dermasense.errors import DermaSenseError, first_line, nearest

_EPSILON = 1e-8  # as MAPIE compares


@dataclass(frozen=True)
class Judged:
    """What is said about N pictures.

    Attributes:
        probabilities: calibrated, (N, C) float64.
        answers: class of each, int (N,).
        sets: classes in the set of each, most probable first; None without a set.
        refers: True or False by the rule, None without one.
        alarms: True where classes that must not be missed may be there.
    """

    probabilities: np.ndarray
    answers: np.ndarray
    sets: list[tuple[int, ...] | None]
    refers: list[bool | None]
    alarms: list[bool]


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
        methods: fitted methods of `dermasense.evaluation.decisions`, at most one of a kind.
    """

    class_names: tuple[str, ...]
    temperature: float = 1.0
    calibration: Mapping[str, Any] | None = None
    set_threshold: float | None = None
    referral: float | None = None
    methods: tuple[Any, ...] = ()

    @classmethod
    def of(cls, class_names: Sequence[str], info: Mapping[str, Any]) -> Self:
        """The settings of a bundle.

        `decision` is what a fitted method's `as_dict` gave, or several of them, as a list or by any
        keys; or the short form {"name": "lac", "threshold": q, "referral": t}, either part alone.

        Args:
            class_names: order of the logits.
            info: `Bundle.info`.

        Raises:
            DermaSenseError: settings that this version does not know, or without their numbers.
        """
        names = tuple(class_names)
        short, fitted = _entries(info.get("decision"))
        try:
            made = cls(
                names,
                float(info["temperature"]),
                info.get("calibration"),
                _threshold(short),
                _number("decision.referral", short.get("referral")),
                tuple(_restored(entry, names) for entry in fitted),
            )
            made.judge(np.zeros((1, len(names))))  # numbers that are missing show now
        except (TypeError, ValueError, LookupError) as error:
            raise DermaSenseError(
                f"model.json: calibration or decision cannot be applied ({first_line(error)}); "
                "calibrate the bundle again"
            ) from None
        return made

    @classmethod
    def of_bundle(cls, folder: Path, class_names: Sequence[str], info: Mapping[str, Any]) -> Self:
        """As `of`, for the model.json of a folder, which is named where something is wrong."""
        try:
            return cls.of(class_names, info)
        except DermaSenseError as error:
            raise DermaSenseError(f"{folder}: {error}") from None

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, C) float64 of logits (N, C)."""
        return softmax(self.logits(logits), axis=1)

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits (N, C) float64 of the network's own (N, C)."""
        logits = np.asarray(logits, np.float64)
        if self.calibration is None:
            return logits / self.temperature
        return _calibrated(logits, self.calibration, self.class_names)

    @property
    def is_calibrated(self) -> bool:
        """Whether a calibration was fitted."""
        return self.calibration is not None or self.temperature != 1

    @property
    def unknown_groups(self) -> str:
        """What to say where sets were fitted for groups that no picture names; "" else."""
        wanted = [each.attribute for each in self.methods if hasattr(each, "attribute")]
        if not wanted:
            return ""
        return (
            f"its sets were fitted for each {wanted[0]}, which a picture does not tell, so every "
            "set is the widest of any group's: it holds the true class at least as often as was "
            "asked for"
        )

    def judge(self, logits: np.ndarray) -> Judged:
        """All that is said about the pictures of logits (N, C)."""
        p = self.probabilities(logits)
        found: dict[str, np.ndarray] = {}
        if self.set_threshold is not None:
            found["set"] = 1 - p <= self.set_threshold + _EPSILON
        if self.referral is not None:
            found["refer"] = p.max(axis=1) < self.referral
        for method in self.methods:
            found[method.kind] = method.apply(np.log(np.maximum(p, np.finfo(float).tiny)))
        n = len(p)
        return Judged(
            p,
            found.get("answer", p.argmax(axis=1)),
            _ranked(p, found["set"]) if "set" in found else [None] * n,
            found["refer"].tolist() if "refer" in found else [None] * n,
            found["alarm"].tolist() if "alarm" in found else [False] * n,
        )


def _ranked(p: np.ndarray, members: np.ndarray) -> list[tuple[int, ...]]:
    order = np.argsort(-p, axis=1, kind="stable")
    return [tuple(int(c) for c in row if own[c]) for row, own in zip(order, members, strict=True)]


def _entries(decision: Any) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """The short form, and what fitted methods wrote (which names the classes)."""
    if not decision:
        return {}, []
    if isinstance(decision, Mapping) and ("name" in decision or "referral" in decision):
        is_short = "class_names" not in decision
        if is_short and isinstance(decision.get("referral"), Mapping):
            return {}, list(decision.values())
        return (decision, []) if is_short else ({}, [decision])
    if not isinstance(decision, Mapping | list):
        raise DermaSenseError(f"model.json: decision is {decision!r}; calibrate the bundle again")
    return {}, list(decision.values() if isinstance(decision, Mapping) else decision)


def _restored(entry: Any, names: tuple[str, ...]) -> Any:
    from dermasense.evaluation.decisions import restore

    if not isinstance(entry, Mapping):
        raise DermaSenseError(f"model.json: decision holds {entry!r}; calibrate the bundle again")
    try:
        method = restore(entry)
    except DermaSenseError as error:
        why = str(error).rstrip(".").removesuffix("; fit it again")
        raise DermaSenseError(f"model.json: {why}; calibrate the bundle again") from None
    if tuple(method.class_names) != names:
        raise DermaSenseError(
            f"model.json: the decision {entry.get('name')} was fitted on the classes "
            f"{', '.join(method.class_names)}, in this order; calibrate the bundle again"
        )
    return method


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
    if not isinstance(calibration, Mapping):
        raise DermaSenseError(
            f"model.json: calibration is {calibration!r}; calibrate the bundle again"
        )
    name = calibration.get("name")
    try:
        if name == "temperature":
            value = _number("calibration.value", calibration["value"], needed=True)
            if value <= 0:
                raise DermaSenseError(
                    f"model.json: calibration.value is {value:g}, not above 0; calibrate the "
                    "bundle again"
                )
            return logits / value
        if name == "vector":
            fitted = [calibration["classes"][each] for each in names]
            slope, offset = (
                [_number(f"calibration.{key}", one[key], needed=True) for one in fitted]
                for key in ("slope", "offset")
            )
            return logits * np.array(slope) + np.array(offset)
        if name == "prior_shift":
            offsets = (calibration["offsets"][each] for each in names)
            return logits + [_number("calibration.offsets", each, needed=True) for each in offsets]
    except KeyError as error:
        raise DermaSenseError(
            f"model.json: the calibration '{name}' lacks {error}; calibrate the bundle again"
        ) from None
    raise DermaSenseError(
        f"model.json: calibration.name is {name!r}, which this DermaSense does not know; update "
        "it, or calibrate the bundle again"
    )
