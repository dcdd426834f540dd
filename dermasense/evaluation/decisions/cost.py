"""Answers by cost: the class whose expected cost is least, where mistakes are not all alike."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import softmax

from dermasense.errors import DermaSenseError, nearest
from dermasense.evaluation.decisions import named_classes, require_fitted
from dermasense.evaluation.decisions.shares import Ratios, votes
from dermasense.evaluation.malignant import malignant_classes
from dermasense.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Cost:
    """Answers argmin_c sum_k p_k * cost[k, c], k the true class (Elkan 2001, eq. 1).

    It stands on calibrated probabilities: fit a calibration first. Nothing is fitted here but the
    order of the classes; what the costs are is for people to say.

    Args:
        malignant: classes that must not be answered with another kind; None for those of the
            table that are known by name.
        missed: cost of a benign answer for a malignant lesion.
        mistake: cost of every other wrong answer.
        matrix: costs that differ from these, {true class: {answer: cost}}.
        class_names, costs: fitted; the whole matrix, true class by row.
    """

    name: ClassVar[str] = "cost"
    kind: ClassVar[str] = "answer"
    malignant: Sequence[str] | None = None
    missed: float = 10.0
    mistake: float = 1.0
    matrix: Mapping[str, Mapping[str, float]] | None = None
    class_names: tuple[str, ...] = ()
    costs: Sequence[Sequence[float]] = ()

    def fit(self, validation: Predictions) -> Self:
        """The matrix for the classes of a table.

        Raises:
            DermaSenseError: a class that the table lacks, or a cost below 0.
        """
        names = validation.class_names
        costs = self.mistake * (1 - np.eye(len(names)))
        malignant = malignant_classes(names) if self.malignant is None else self.malignant
        if self.malignant is None and not malignant:
            raise DermaSenseError(
                "decision.malignant=null: none of the classes of the table is known to be "
                f"malignant ({', '.join(names[:5])}, ...); name those that are."
            )
        malignant = named_classes("decision.malignant", malignant, names)
        ill = np.isin(names, malignant)
        costs[np.ix_(ill, ~ill)] = self.missed
        for true, row in (self.matrix or {}).items():
            for answer, cost in row.items():
                for name in (true, answer):
                    if name not in names:
                        raise DermaSenseError(
                            f"decision.matrix: {name} is no class of the table; "
                            f"{nearest(name, names)}"
                        )
                costs[names.index(true), names.index(answer)] = cost
        if costs.min() < 0:
            raise DermaSenseError(f"decision.matrix: a cost of {costs.min():g} is below 0.")
        known = {"class_names": names, "malignant": malignant}
        return replace(self, **known, costs=tuple(map(tuple, costs.tolist())))

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """The class to answer, int (N,)."""
        require_fitted(self.class_names, self.name)
        p = softmax(np.asarray(logits, np.float64), axis=1)
        return (p @ np.asarray(self.costs)).argmin(axis=1)

    def judge(self, test: Predictions, *, resamples: int = 1000, seed: int = 0) -> dict:
        """Against the most probable class, on other images, each lesion with one vote.

        Returns:
            cost and accuracy, and sensitivity and specificity of the malignant classes together,
            each with `_usual` (of the most probable class) and `_change` (paired difference).
        """
        test = test.in_order(self.class_names)
        ratio, vote = Ratios(test.groups, resamples, seed), votes(test.groups)
        costs, ill = np.asarray(self.costs), np.isin(self.class_names, list(self.malignant))
        sick = ill[test.labels]
        found: dict[str, dict] = {}
        answers = {"_usual": test.logits.argmax(axis=1), "": self.apply(test.logits)}
        values = {
            end: {
                "cost": (costs[test.labels, answer], np.ones(len(test))),
                "accuracy": ((answer == test.labels).astype(float), np.ones(len(test))),
                "sensitivity": (ill[answer].astype(float), sick),
                "specificity": ((~ill[answer]).astype(float), ~sick),
            }
            for end, answer in answers.items()
        }
        for key, (after, among) in values[""].items():
            before, among = values["_usual"][key][0], among * vote
            share = key != "cost"
            found[f"{key}_usual"] = ratio(before * among, among, share=share).as_dict()
            found[key] = ratio(after * among, among, share=share).as_dict()
            change = ratio((after - before) * among, among, share=share, difference=True)
            found[f"{key}_change"] = change.as_dict()
        return found

    def as_dict(self) -> dict:
        """name, options, class_names, costs."""
        return {"name": self.name, **asdict(self)}


METHOD = Cost
