"""A head that adds age, sex and site to a model's answer: late fusion, fitted on validation rows.

    logits'(image, m) = a log p(image) + b + W x(m)

W x(m) is what the attributes say besides the picture, as in naive Bayes, where it would be
log p(m | class); a and b are there with and without attributes, so that the gain is the attributes'
own and no recalibration. A missing attribute adds nothing: its part of x is 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import Predictions, refuse_unknown_attribute

# How the label was found says what the label is: a lesion is biopsied because it looks malignant.
LEAKS = ("dx_type", "diagnosis_confirm_type", "concomitant_biopsy", "diagnosis", "dx", "label")
KNOTS = (10.0, 30.0, 50.0, 70.0)  # years
AGES = ("age", "age_approx")  # other numbers are no years: their knots are `QUANTILES` of the rows
QUANTILES = (0.05, 0.35, 0.65, 0.95)
LEAST = 5  # images behind a level of a text, or it is taken for missing
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
FOLDS = 5


@dataclass(frozen=True)
class Encoding:
    """Attributes as numbers, zeros where they are missing or not known.

    Attributes:
        levels: attribute -> its levels, one column each; a number has knots instead and ().
        knots: attribute that is a number -> its knots, one column each.
    """

    levels: Mapping[str, tuple[str, ...]]
    knots: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, frame: pd.DataFrame, attributes: Sequence[str]) -> "Encoding":
        """The levels that occur in a table.

        Raises:
            DermaSenseError: an attribute that is not there, or one that gives the label away.
        """
        levels: dict[str, tuple[str, ...]] = {}
        knots: dict[str, tuple[float, ...]] = {}
        for name in attributes:
            if name.lower() in LEAKS:
                raise DermaSenseError(
                    f"attributes={name} is a leak: it says how, or with what result, the diagnosis "
                    "was made, which nobody knows of a new picture; leave it out."
                )
            refuse_unknown_attribute(frame, name, f"attributes={name}")
            if is_numeric_dtype(frame[name]) and not is_bool_dtype(frame[name]):
                levels[name] = ()
                knots[name] = KNOTS if name.lower() in AGES else _quantiles(frame[name])
            else:
                counts = frame[name].dropna().astype(str).value_counts()
                levels[name] = tuple(sorted(counts.index[counts >= LEAST]))
        return cls(levels, knots)

    def lacks(self, name: str) -> bool:
        """Whether nothing is left of an attribute."""
        return not self.levels[name] and not self.knots.get(name)

    def told(self, frame: pd.DataFrame) -> list[str]:
        """What each attribute of the table was taken as, a line each, with the levels left out."""
        lines = []
        for name, levels in self.levels.items():
            if self.lacks(name):
                lines.append(f"{name}: {_why_nothing(frame[name])}, so nothing of it is added")
                continue
            if name in self.knots:
                knots = _list(f"{knot:g}" for knot in self.knots[name])
                lines.append(f"{name}: a number, by knots at {knots}")
                continue
            rare = sorted(set(frame[name].dropna().astype(str)) - set(levels))
            left_out = f" (left out, on fewer than {LEAST} images: {_list(rare)})" if rare else ""
            lines.append(f"{name}: a text, by levels {_list(levels)}{left_out}")
        return lines

    @property
    def columns(self) -> list[str]:
        """Names of the columns of `encode`."""
        return [
            f"{name} {level}"
            for name, levels in self.levels.items()
            for level in (levels or [f"{knot:g}" for knot in self.knots.get(name, ())])
        ]

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """(N, K): one-hot levels; numbers by linear interpolation between knots, sum 1."""
        parts = []
        for name, levels in self.levels.items():
            if name not in self.knots:
                values = [None if pd.isna(each) else str(each) for each in frame[name]]
                told = [[value == level for level in levels] for value in values]
                parts.append(np.array(told, dtype=float).reshape(len(frame), len(levels)))
            elif self.knots[name]:
                knots, numbers = self.knots[name], _numbers(frame[name])
                hats = [np.interp(numbers, knots, row) for row in np.eye(len(knots))]
                parts.append(np.nan_to_num(np.stack(hats, axis=1), nan=0.0))
        return np.concatenate(parts, axis=1).astype(float) if parts else np.zeros((len(frame), 0))


@dataclass(frozen=True)
class MetadataHead:
    """A fitted head. Made by :meth:`fit`.

    Attributes:
        encoding: of the attributes; without levels it is the head of the image alone.
        scale: a.
        offsets: b, (C,).
        weights: W, (K, C).
        penalty: of W, chosen by grouped folds of the fitted rows.
        class_names: the order of the logits.
    """

    encoding: Encoding
    scale: float
    offsets: np.ndarray
    weights: np.ndarray
    penalty: float
    class_names: tuple[str, ...]

    @classmethod
    def fit(
        cls, table: Predictions, attributes: Sequence[str], penalties: Sequence[float] = PENALTIES
    ) -> "MetadataHead":
        """Fit on validation rows, the penalty by folds of their groups.

        Args:
            table: rows that the network was not trained on.
            attributes: columns of the table; () for the image alone.
            penalties: of W's squares, to choose from.
        """
        encoding = Encoding.of(table.frame, attributes)
        x, logp, y = encoding.encode(table.frame), _logp(table), table.labels
        penalty = _chosen(logp, x, y, table.groups % FOLDS, penalties) if x.shape[1] else 0.0
        scale, offsets, weights = _solve(logp, x, y, penalty)
        return cls(encoding, scale, offsets, weights, penalty, table.class_names)

    def apply(self, table: Predictions) -> Predictions:
        """The table with the attributes in its logits."""
        table = table.in_order(self.class_names)
        x = self.encoding.encode(table.frame)
        return table.with_logits(self.scale * _logp(table) + self.offsets + x @ self.weights)

    def as_dict(self) -> dict:
        """For metadata_head.json: what each level adds to the log-odds of each class."""
        rows = zip(self.encoding.columns, self.weights, strict=True)
        return {
            "scale": self.scale,
            "penalty": self.penalty,
            "offsets": dict(zip(self.class_names, self.offsets.tolist(), strict=True)),
            "weights": {
                column: dict(zip(self.class_names, row.tolist(), strict=True))
                for column, row in rows
            },
        }


def _why_nothing(column: pd.Series) -> str:
    texts = sorted(set(column.dropna().astype(str)))
    if not texts:
        return "no validation image has a value"
    return f"a text, and none of its values stands on {LEAST} validation images ({_list(texts)})"


def _list(names: Iterable[str], most: int = 20) -> str:
    names = list(names)
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)


def _quantiles(column: pd.Series) -> tuple[float, ...]:
    """Knots of a number without a scale that is known before; () where no value is there."""
    numbers = _numbers(column)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return ()
    knots = np.unique(np.quantile(numbers, QUANTILES, method="nearest"))
    if len(knots) == 1:  # nearly all rows have one value: the rare others must still be told apart
        knots = np.unique([numbers.min(), knots[0], numbers.max()])
    return tuple(knots.tolist())


def _logp(table: Predictions) -> np.ndarray:
    return log_softmax(table.logits.astype(np.float64), axis=1)


def _chosen(
    logp: np.ndarray, x: np.ndarray, y: np.ndarray, fold: np.ndarray, penalties: Sequence[float]
) -> float:
    """The penalty of least negative log-likelihood on groups that were left out."""
    losses = []
    for penalty in penalties:
        loss = 0.0
        for part in sorted(set(fold)):
            out = fold == part
            scale, offsets, weights = _solve(logp[~out], x[~out], y[~out], penalty)
            answer = log_softmax(scale * logp[out] + offsets + x[out] @ weights, axis=1)
            loss -= answer[np.arange(out.sum()), y[out]].sum()
        losses.append(loss)
    return float(penalties[int(np.argmin(losses))])


def _solve(
    logp: np.ndarray, x: np.ndarray, y: np.ndarray, penalty: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Least -sum log p + penalty / 2 |W|^2 + |b|^2 / 2, which is convex in (a, b, W)."""
    n, classes = logp.shape
    width = x.shape[1]
    target = np.eye(classes)[y]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = parameters[0], parameters[1 : 1 + classes]
        w = parameters[1 + classes :].reshape(width, classes)
        answer = log_softmax(a * logp + b + x @ w, axis=1)
        value = -answer[np.arange(n), y].sum() + penalty / 2 * (w**2).sum() + (b**2).sum() / 2
        rest = softmax(answer, axis=1) - target
        slope_w = x.T @ rest + penalty * w
        return value, np.concatenate([[(rest * logp).sum()], rest.sum(0) + b, slope_w.ravel()])

    start = np.zeros(1 + classes + width * classes)
    start[0] = 1.0
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return float(found[0]), found[1 : 1 + classes], found[1 + classes :].reshape(width, classes)
