"""Class-conditional sets: each true class is covered in 1 - alpha of its cases, rare ones too."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import softmax

from dermasense.evaluation.decisions import require_fitted
from dermasense.evaluation.decisions.conformal import (
    EPSILON,
    check_alpha,
    conformalised,
    judge_sets,
    needed,
)
from dermasense.evaluation.decisions.shares import one_per_group
from dermasense.evaluation.predictions import Predictions


@dataclass(frozen=True)
class ClassConditional:
    """LAC with one threshold a class, from the lesions of that class (Vovk 2012, "Mondrian").

    A class with too few lesions in validation (11 at alpha .1) has the threshold 1: it is in every
    set, which is the only honest answer.

    Args:
        alpha: share of sets that may lack the true class, for each true class, 0..1.
        class_names, thresholds, n: fitted; n lesions stand behind each class's threshold.
    """

    name: ClassVar[str] = "class_conditional"
    kind: ClassVar[str] = "set"
    alpha: float = 0.1
    class_names: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    n: Mapping[str, int] = field(default_factory=dict)

    def fit(self, validation: Predictions) -> Self:
        """The thresholds of a validation table, by one image a lesion.

        Raises:
            DermaSenseError: alpha out of range.
        """
        check_alpha(self.alpha)
        one = one_per_group(validation)
        p = softmax(one.logits.astype(np.float64), axis=1)
        thresholds, n = {}, {}
        for code, name in enumerate(one.class_names):
            own = one.labels == code
            n[name], thresholds[name] = int(own.sum()), 1.0
            if n[name] >= needed(self.alpha):
                found = conformalised(p[own], one.labels[own], self.alpha, "lac")
                thresholds[name] = float(found.quantiles_[0])
        return replace(self, class_names=one.class_names, thresholds=thresholds, n=n)

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Which classes are in each set, bool (N, C)."""
        require_fitted(self.class_names, self.name)
        limit = np.array([self.thresholds[name] for name in self.class_names])
        return 1 - softmax(np.asarray(logits, np.float64), axis=1) <= limit + EPSILON

    def judge(self, test: Predictions, *, resamples: int = 1000, seed: int = 0) -> dict:
        """Coverage and size; see :func:`judge_sets`. `always` are the classes in every set."""
        test = test.in_order(self.class_names)
        found = judge_sets(self.apply(test.logits), test, resamples=resamples, seed=seed)
        always = [name for name, n in self.n.items() if n < needed(self.alpha)]
        return {**found, "always": always}

    def as_dict(self) -> dict:
        """name, alpha, class_names, thresholds, n."""
        return {"name": self.name, **asdict(self)}


METHOD = ClassConditional
