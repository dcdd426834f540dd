"""What a model says about one picture."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DISCLAIMER = "Research software, not a medical device."


@dataclass(frozen=True)
class Prediction:
    """The answer to one picture; prints as a few lines that a person can read.

    Attributes:
        image: the picture's path or name.
        answer: the class with the largest probability, or the bundle's rule's choice by cost.
        probabilities: calibrated probability by class name, in the order of the model's classes.
        prediction_set: conformal set, the classes that cannot be ruled out at the bundle's level,
            most probable first; it may be empty. None where the bundle was not calibrated for it.
        refer: True where a person should look instead: the bundle's rule says so, or the picture
            is unlike those of training. False where the rule lets the answer stand. None where the
            bundle has no rule and nothing else speaks against the answer.
        warnings: sentences on why the answer may be worth little.
        distance: how far the picture is from those of training, in units of the limit of the
            bundle's detector: above 1 it is unlike them. None without a detector.
        logits: the network's own, before calibration, in the order of the classes.
    """

    image: str
    answer: str
    probabilities: Mapping[str, float]
    prediction_set: tuple[str, ...] | None = None
    refer: bool | None = None
    warnings: tuple[str, ...] = ()
    distance: float | None = None
    logits: tuple[float, ...] = ()

    @property
    def confidence(self) -> float:
        """Calibrated probability of the answer, 0 to 1."""
        return self.probabilities[self.answer]

    @property
    def decision(self) -> str:
        """ "refer", "answer", or "no rule" where the bundle has none."""
        return {True: "refer", False: "answer", None: "no rule"}[self.refer]

    @property
    def remarks(self) -> str:
        """The decision and the warnings in a line; "" where there is neither rule nor warning."""
        parts = [] if self.refer is None else [f"decision: {self.decision}"]
        return "; ".join([*parts, *(f"warning: {words}" for words in self.warnings)])

    def top(self, k: int = 2) -> list[tuple[str, float]]:
        """The k most probable classes, with their probabilities; ties in the model's order."""
        ordered = sorted(self.probabilities.items(), key=lambda pair: -pair[1])
        return ordered[:k]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "image": self.image,
            "class": self.answer,
            "confidence": self.confidence,
            "probabilities": dict(self.probabilities),
            "prediction_set": None if self.prediction_set is None else list(self.prediction_set),
            "decision": self.decision,
            "refer": self.refer,
            "warnings": list(self.warnings),
            "distance": self.distance,
            "disclaimer": DISCLAIMER,
        }

    def as_json(self) -> str:
        """One line of strict JSON."""
        return json.dumps(self.as_dict(), allow_nan=False, ensure_ascii=False)

    def __str__(self) -> str:
        top = ", ".join(f"{name} {probability:.1%}" for name, probability in self.top())
        lines = [f"{self.image}: {top}"]
        if self.answer != self.top(1)[0][0]:
            lines.append(f"  answer by the bundle's rule: {self.answer}")
        if self.prediction_set is not None:
            lines.append(f"  cannot be ruled out: {', '.join(self.prediction_set) or 'no class'}")
        if self.refer is not None:
            lines.append(f"  decision: {self.decision}")
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join([*lines, f"  {DISCLAIMER}"])
