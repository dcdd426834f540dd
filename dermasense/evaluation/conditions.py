"""The same images answered under several conditions: scores, losses, and what survives, each with
an interval over groups and paired with the answers to the unspoilt images."""

from collections.abc import Mapping

import numpy as np

from dermasense.evaluation import confusion
from dermasense.evaluation.bootstrap import interval, jackknifed, resampled
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Scores

METRICS = ("top1", "balanced_accuracy")


class _Counts:
    """Accuracy, balanced accuracy and the majority's share as functions of the groups' weights."""

    def __init__(self, table: Predictions, majority: int):
        self.n_groups, self._classes, self._majority = (
            table.n_groups,
            len(table.class_names),
            majority,
        )
        cells = table.labels * self._classes + table.logits.argmax(axis=1)
        self._sums = np.zeros((self.n_groups, self._classes**2))
        np.add.at(self._sums, (table.groups, cells), 1.0)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        counts = (self._sums.T @ weights).T.reshape(-1, self._classes, self._classes)
        return {
            "top1": confusion.accuracy(counts),
            "balanced_accuracy": confusion.balanced_accuracy(counts),
            "majority": counts[:, self._majority].sum(axis=1) / counts.sum(axis=(1, 2)),
        }


def judge_conditions(
    clean: Predictions,
    answers: Mapping[str, np.ndarray],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, dict]:
    """Each condition beside the clean images.

    Args:
        clean: answers to the images as they are.
        answers: logits (N, C) by condition, rows as in `clean`.
        resamples, level, seed: of the bootstrap over groups, the same draws for all conditions.

    Returns:
        Condition -> for top1 and balanced_accuracy an interval as a dict, `change` (condition
        minus clean) and `kept` (the share of what clean has above the blind baseline that is left:
        always the most frequent class for top1, 1 / C' of the C' classes at hand for balanced
        accuracy; None where clean is not above it); `changed`, the share of answers that are other
        than on the clean image; `answered_majority`, the share answered with the most frequent
        class: what a model falls back to where it sees nothing.
    """
    majority = int(np.bincount(clean.labels).argmax())
    chance = 1 / len(np.unique(clean.labels))
    behind = Scores(clean, ranking=False).behind()
    before = _numbers(clean, majority, resamples, seed)
    found = {}
    for name, logits in answers.items():
        after = _numbers(clean.with_logits(logits), majority, resamples, seed)
        other = logits.argmax(axis=1) != clean.logits.argmax(axis=1)
        row: dict = {"n": len(clean), "n_groups": clean.n_groups, "changed": float(other.mean())}
        row["answered_majority"] = float((logits.argmax(axis=1) == majority).mean())
        for metric in METRICS:
            base = [each["majority"] if metric == "top1" else chance for each in before]
            values = [each[metric] for each in after]
            change = [a - b[metric] for a, b in zip(values, before, strict=True)]
            gains = [b[metric] - c for b, c in zip(before, base, strict=True)]
            kept = [_ratio(a - c, g) for a, c, g in zip(values, base, gains, strict=True)]
            options = {"behind": behind[metric], "level": level}
            row[metric] = _interval(metric, values, **options)
            row[metric] |= {
                "change": _interval(metric, change, **options, difference=True),
                "kept": _interval("kept", kept, **options) if gains[0][0] > 0 else None,
            }
        found[name] = row
    return found


def _numbers(table: Predictions, majority: int, resamples: int, seed: int):
    """The metrics of the table, of its resamples and of its jackknife."""
    counts = _Counts(table, majority)
    whole = counts(np.ones((counts.n_groups, 1)))
    return whole, resampled(counts, resamples, seed), jackknifed(counts, seed)


def _interval(metric: str, values, *, behind, level: float, difference: bool = False) -> dict:
    value, draws, left_out = values
    one = interval(metric, float(value[0]), draws, left_out, behind, level, difference=difference)
    return one.as_dict()


def _ratio(above: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return np.divide(above, gain, out=np.full(np.shape(above), np.nan), where=np.asarray(gain) > 0)
