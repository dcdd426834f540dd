"""What the conformal sets share: MAPIE finds the threshold, a set is judged by coverage and size.

MAPIE is needed for fitting alone; a fitted method is a few numbers.
"""

import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.decisions.shares import Ratios, one_per_group, votes
from dermasense.evaluation.fairness.audit import LEAST
from dermasense.evaluation.fairness.bands import banded_attributes
from dermasense.evaluation.predictions import Predictions

# MAPIE compares within this; the same here, so that its sets and ours are the same.
EPSILON = 1e-8


def needed(alpha: float) -> int:
    """Lesions that a threshold at this alpha needs: fewer cannot show a coverage of 1 - alpha."""
    return int(np.ceil(1 / min(alpha, 1 - alpha))) + 1


def check_alpha(alpha: float) -> None:
    """Raises DermaSenseError where alpha is no error rate."""
    if not 0 < alpha < 1:
        raise DermaSenseError(
            f"alpha={alpha}: it is the share of sets that may lack the true class, between 0 and 1."
        )


def conformalised(probabilities: np.ndarray, labels: np.ndarray, alpha: float, score: str) -> Any:
    """MAPIE's fitted conformity score: its `quantiles_`, for RAPS also `lambda_star`, `k_star`.

    Args:
        probabilities: of the calibration images, shape (N, C), one image a lesion.
        labels: class indices, shape (N,).
        alpha: share of sets that may lack the true class.
        score: "lac", "aps" or "raps".

    Raises:
        DermaSenseError: too few images for this alpha.
    """
    if len(labels) < needed(alpha):
        raise DermaSenseError(
            f"{len(labels)} lesions in validation cannot show a coverage of {1 - alpha:g}; "
            f"alpha={alpha} needs {needed(alpha)}: take a larger alpha or more images."
        )
    from mapie import conformity_scores
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class AsGiven(ClassifierMixin, BaseEstimator):
        """A classifier whose pictures are their own probabilities."""

        classes_ = np.arange(probabilities.shape[1])

        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return np.asarray(X)

        def predict(self, X):
            return np.asarray(X).argmax(axis=1)

        def __sklearn_is_fitted__(self):
            return True

    fitted = getattr(conformity_scores, f"{score.upper()}ConformityScore")()
    mapie = SplitConformalClassifier(
        AsGiven(), confidence_level=1 - alpha, conformity_score=fitted, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a class is missing is said by the counts beside it
        try:
            mapie.conformalize(probabilities, labels)
            mapie.predict_set(probabilities[:1])  # the quantile is taken now
        except ValueError as error:
            raise DermaSenseError(
                f"MAPIE cannot fit {score} on these {len(labels)} lesions "
                f"({' '.join(str(error).split()).rstrip('.')}); take lac or aps, a larger "
                "alpha, or more images."
            ) from error
    return fitted


def ranked_sets(
    logits: np.ndarray, threshold: float, penalty: float = 0.0, free: float = 0.0
) -> np.ndarray:
    """The most probable classes until their summed probability reaches the threshold, bool (N, C).

    With s_r the sum of the r largest probabilities plus penalty * max(0, r - free), the set ends
    with the first r that has s_r >= threshold (APS, Romano et al. 2020; RAPS, Angelopoulos et al.
    2021, algorithm 3, with the last class always kept). It is never empty, and covers more often
    than asked for: leaving the last class out at random would cover exactly, and answer the same
    picture in two ways.
    """
    p = softmax(np.asarray(logits, np.float64), axis=1)
    order = np.argsort(-p, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    total += penalty * np.maximum(0, np.arange(1, p.shape[1] + 1) - free)
    before = np.concatenate([np.full((len(p), 1), -np.inf), total[:, :-1]], axis=1)
    members = np.zeros(p.shape, bool)
    np.put_along_axis(members, order, before < threshold - EPSILON, axis=1)
    return members


def judge_sets(
    members: np.ndarray, test: Predictions, *, resamples: int = 1000, seed: int = 0
) -> dict:
    """Coverage and size, overall, by true class and by attribute; each lesion has one vote.

    Args:
        members: bool (N, C), which classes are in each set.
        test: the images, classes in the order of `members`.

    Returns:
        coverage, size, singletons and empty (shares) as intervals, per_class and by_attribute
        {attribute: {value: ...}} with coverage and size; values of fewer than 20 images are left
        out, as in the fairness part, and attributes of one value alone.
    """
    ratio, vote = Ratios(test.groups, resamples, seed), votes(test.groups)
    size = members.sum(axis=1)
    covered = members[np.arange(len(test)), test.labels]

    def of(keep: np.ndarray) -> dict:
        counted = vote * keep
        return {
            "coverage": ratio(covered * counted, counted).as_dict(),
            "size": ratio(size * counted, counted, share=False).as_dict(),
        }

    attributes: dict[str, dict] = {}
    for name, words in banded_attributes(test.frame):
        counts = words.value_counts()
        shown = sorted(value for value in counts.index if counts[value] >= LEAST)
        if len(shown) > 1:
            attributes[name] = {v: of((words == v).to_numpy()) for v in shown}
    return {
        **of(np.ones(len(test))),
        "singletons": ratio((size == 1) * vote, vote).as_dict(),
        "empty": ratio((size == 0) * vote, vote).as_dict(),
        "per_class": {name: of(test.labels == i) for i, name in enumerate(test.class_names)},
        "by_attribute": attributes,
    }


@dataclass(frozen=True)
class OneThreshold:
    """What LAC, APS and RAPS share: one threshold, which MAPIE finds; they differ in `apply`.

    Args:
        alpha: share of sets that may lack the true class, 0..1.
        class_names, threshold, n: fitted; n lesions stand behind it.
    """

    name: ClassVar[str]
    kind: ClassVar[str] = "set"
    alpha: float = 0.1
    class_names: tuple[str, ...] = ()
    threshold: float = 1.0
    n: int = 0

    def fit(self, validation: Predictions) -> Self:
        """The fitted numbers of a validation table, by one image a lesion.

        Raises:
            DermaSenseError: alpha out of range, or too few lesions for it.
        """
        check_alpha(self.alpha)
        one = one_per_group(validation)
        p = softmax(one.logits.astype(np.float64), axis=1)
        found = conformalised(p, one.labels, self.alpha, self.name)
        return replace(self, class_names=one.class_names, n=len(one), **self._fitted(found))

    def _fitted(self, found: Any) -> dict[str, float]:
        return {"threshold": float(found.quantiles_[0])}

    def judge(self, test: Predictions, *, resamples: int = 1000, seed: int = 0) -> dict:
        """Coverage and size; see :func:`judge_sets`."""
        test = test.in_order(self.class_names)
        return judge_sets(self.apply(test.logits), test, resamples=resamples, seed=seed)

    def as_dict(self) -> dict:
        """name, alpha and the fitted numbers."""
        return {"name": self.name, **asdict(self)}
