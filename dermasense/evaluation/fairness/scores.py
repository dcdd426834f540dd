"""The metrics of every value of an attribute, as functions of how much each lesion counts.

One product of matrices serves all values and all resamples: the lesions are drawn once for the
whole table, so that gaps between values come of the same draws as the values themselves.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import softmax

from dermasense.evaluation.confusion import mean_of_defined
from dermasense.evaluation.malignant import malignant_classes, malignant_mask
from dermasense.evaluation.metrics import confidence_bins
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Behind, freedom_of_a_mean, group_sums

METRICS = ("top1", "balanced_accuracy", "malignant_recall", "ece", "overconfidence")
# What groups are told apart by; why ECE is not among them stands in `gaps`.
COMPARED = ("top1", "balanced_accuracy", "malignant_recall", "overconfidence")
_BINS = 15


class GroupScores:
    """Metrics by value of one attribute.

    `top1`, `balanced_accuracy` (over the classes that the value has), `malignant_recall` (the share
    of malignant images that are answered with any malignant class), `ece` (15 equal-width bins) and
    `overconfidence` (mean confidence minus accuracy, -1..1).

    Args:
        predictions: N images of C classes in G groups (lesions).
        codes: (N,) value of each image, -1 where missing; such images count for no value.
        names: of the V values.
    """

    def __init__(self, predictions: Predictions, codes: np.ndarray, names: Sequence[str]):
        self.names = tuple(names)
        self.groups, self.n_groups = predictions.groups, predictions.n_groups
        self.codes, self._labels = codes, predictions.labels
        self._classes = len(predictions.class_names)
        answers = predictions.logits.argmax(axis=1)
        ill = malignant_mask(predictions.class_names)
        self._ill = ill[self._labels] & (ill.any() and not ill.all())
        confidence = softmax(predictions.logits.astype(np.float64), axis=1).max(axis=1)
        right = answers == self._labels
        zero = np.zeros(len(right), np.int64)
        parts = {
            "seen": (self._classes, self._labels, np.ones(len(right))),
            "right": (self._classes, self._labels, right.astype(float)),
            "ill": (1, zero, self._ill.astype(float)),
            "found": (1, zero, (self._ill & ill[answers]).astype(float)),
            "gap": (_BINS, confidence_bins(confidence, _BINS), right - confidence),
        }
        known = codes >= 0
        self._parts, self._sums = group_sums(
            {name: (size, at[known], adds[known]) for name, (size, at, adds) in parts.items()},
            self.groups[known],
            self.n_groups,
            codes[known],
            len(self.names),
        )

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """`metric/value` -> (B,) under B weightings of the groups (G, B); NaN where not defined."""
        total = (self._sums @ weights).reshape(len(self.names), -1, weights.shape[1])
        part = {name: total[:, rows] for name, rows in self._parts.items()}
        n = part["seen"].sum(axis=1)
        recall = _ratio(part["right"], part["seen"])
        table = {
            "top1": _ratio(part["right"].sum(axis=1), n),
            "balanced_accuracy": mean_of_defined(np.moveaxis(recall, 1, -1)),
            "malignant_recall": _ratio(part["found"][:, 0], part["ill"][:, 0]),
            "ece": _ratio(np.abs(part["gap"]).sum(axis=1), n),
            "overconfidence": _ratio(-part["gap"].sum(axis=1), n),
        }
        return {
            f"{metric}/{name}": values[place]
            for metric, values in table.items()
            for place, name in enumerate(self.names)
        }

    def behind(self) -> dict[str, Behind]:
        """Images and lesions behind each: the malignant ones for `malignant_recall`."""
        behind = {}
        for place, name in enumerate(self.names):
            inside = self.codes == place
            whole = self._counted(inside)
            carrying = [
                len(np.unique(self.groups[inside & (self._labels == c)]))
                for c in range(self._classes)
            ]
            mean = Behind(whole.n, whole.n_groups, freedom_of_a_mean(carrying))
            for metric in METRICS:
                behind[f"{metric}/{name}"] = mean if metric == "balanced_accuracy" else whole
            behind[f"malignant_recall/{name}"] = self._counted(inside & self._ill)
        return behind

    def _counted(self, rows: np.ndarray) -> Behind:
        n_groups = len(np.unique(self.groups[rows]))
        return Behind(int(rows.sum()), n_groups, n_groups - 1.0)


def metric_frame(predictions: Predictions, words: pd.Series | pd.DataFrame):
    """The same metrics as a `fairlearn.metrics.MetricFrame`, without intervals.

    The door to what fairlearn does besides: intersections, control features, ratios.

    Args:
        predictions: the table.
        words: (N,) value of each image, or a column for each of several attributes, whose
            intersections are then the groups; rows where one is missing are left out.

    Returns:
        The frame: `by_group`, `group_min()`, `difference()` and what else fairlearn offers.
    """
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import accuracy_score, recall_score

    words = pd.DataFrame(words)
    known = words.notna().all(axis=1).to_numpy()
    part = predictions.rows(known)
    names = np.array(part.class_names)
    ill = malignant_classes(part.class_names)
    confidence = softmax(part.logits.astype(np.float64), axis=1).max(axis=1)

    def balanced(truth, answers):
        return recall_score(truth, answers, average="macro", labels=np.unique(truth))

    def malignant(truth, answers):
        rows = np.isin(truth, ill)
        return np.isin(answers[rows], ill).mean() if rows.any() else np.nan

    def ece(truth, answers, confidence):
        gap = np.bincount(confidence_bins(confidence, _BINS), (truth == answers) - confidence)
        return np.abs(gap).sum() / len(truth)

    def overconfidence(truth, answers, confidence):
        return confidence.mean() - (truth == answers).mean()

    return MetricFrame(
        metrics={
            "top1": accuracy_score,
            "balanced_accuracy": balanced,
            "malignant_recall": malignant,
            "ece": ece,
            "overconfidence": overconfidence,
        },
        y_true=names[part.labels],
        y_pred=names[part.logits.argmax(axis=1)],
        sensitive_features=words[known].reset_index(drop=True),
        sample_params={name: {"confidence": confidence} for name in ("ece", "overconfidence")},
    )


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
