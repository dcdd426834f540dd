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

from dermasense.errors import DermaSenseError, first_line


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
        calibrator: fitted, of `dermasense.evaluation.calibration`, its classes in this order.
        is_calibrated: whether it was fitted on images; else it leaves the logits as they are.
        methods: fitted methods of `dermasense.evaluation.decisions`, at most one of a kind.
    """

    class_names: tuple[str, ...]
    calibrator: Any
    is_calibrated: bool
    methods: tuple[Any, ...] = ()

    @classmethod
    def of(cls, class_names: Sequence[str], info: Mapping[str, Any]) -> Self:
        """The settings of a bundle.

        `calibration` is what a calibrator's `as_dict` gave, and takes the place of `temperature`;
        `decision` what a fitted method's `as_dict` gave, or several of them, as a list or by any
        keys.

        Args:
            class_names: order of the logits.
            info: `Bundle.info`.

        Raises:
            DermaSenseError: settings that this version does not know, or without their numbers.
        """
        # pandas and scipy's optimisers, which the import of this module need not wait for.
        from dermasense.evaluation.calibration import restore_calibrator
        from dermasense.evaluation.decisions import stored_entries

        names, stored = tuple(class_names), info.get("calibration")
        try:
            plain = {"name": "temperature", "value": info["temperature"]}
            calibrator = restore_calibrator(plain if stored is None else stored, names)
            is_calibrated = stored is not None or plain["value"] != 1
            methods = tuple(_restored(each, names) for each in stored_entries(info.get("decision")))
            made = cls(names, calibrator, is_calibrated, methods)
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
        return self.calibrator.logits(np.asarray(logits, np.float64))

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
