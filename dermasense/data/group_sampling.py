"""Drawing classes and the groups in them alike: rare skin types of a class are shown more often."""

import numpy as np
import pandas as pd

from dermasense.data.balance import Draws, TrainingSplit
from dermasense.evaluation.fairness.bands import attribute_codes
from dermasense.evaluation.predictions import attributes_of


class GroupSampler:
    """As many draws as there are images, with replacement: a class, each equally likely; then one
    of the groups that the class has, each equally likely; then an image of that cell.

    Images whose attribute is missing belong to no group: a class draws them as often as their
    share in it (its natural rate), since nobody knows whom they stand for.

    A cell of one image is then shown as often as one of a hundred: rare cells are learnt by heart
    where the network can, so compare on groups that were not trained on.

    Args:
        labels: (n,) class indices of the training rows, every class present.
        groups: (n,) group of each row, -1 where missing.
        num_classes: C.
    """

    def __init__(self, labels: np.ndarray, groups: np.ndarray, num_classes: int) -> None:
        self.draws = Draws.of_rows(np.arange(len(labels)))
        self.weights = cell_weights(labels, groups, num_classes)
        self._ends = np.cumsum(self.weights)

    def __len__(self) -> int:
        return len(self.draws)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        drawn = np.searchsorted(self._ends, rng.random(len(self)) * self._ends[-1], side="right")
        return np.minimum(drawn, len(self) - 1).astype(np.int64)


def cell_weights(labels: np.ndarray, groups: np.ndarray, num_classes: int) -> np.ndarray:
    """Probability that a draw shows each row, (n,) float64, sum 1; see :class:`GroupSampler`."""
    labels, groups = np.asarray(labels), np.asarray(groups)
    width = int(groups.max(initial=-1)) + 2  # column 0 holds the rows without a group
    cells = labels * width + groups + 1
    table = np.bincount(cells, minlength=num_classes * width).reshape(num_classes, width)
    present = table.sum(axis=1, keepdims=True)
    unknown = table[:, :1] / np.maximum(present, 1)
    known = (table[:, 1:] > 0) * (1 - unknown)
    share = np.concatenate([unknown, known / np.maximum(known.astype(bool).sum(1)[:, None], 1)], 1)
    share /= np.count_nonzero(present)
    return (share / np.maximum(table, 1)).reshape(-1)[cells]


def training_groups(frame: pd.DataFrame | None, attribute: str, option: str) -> np.ndarray:
    """Group of each training row by an attribute, int64 (n,), -1 where missing.

    Args:
        frame: catalog rows of the training split.
        attribute: one of its attributes.
        option: what asks for it, "balance" or "loss", for messages.

    Raises:
        DermaSenseError: the data lacks the attribute, or it has fewer than two groups.
    """
    rows = pd.DataFrame() if frame is None else frame
    wanted_by = f"{option}.attribute={attribute}"
    return attribute_codes(rows, attribute, wanted_by, attributes_of(rows))[0]


def check_groups(frame: pd.DataFrame, attribute: str = "skin_type") -> None:
    """Raises DermaSenseError where the catalog has no such groups to balance."""
    training_groups(frame, attribute, "balance")


def group_sampler(split: TrainingSplit, attribute: str = "skin_type") -> GroupSampler:
    """The rows of balance=group_sampler."""
    groups = training_groups(split.frame, attribute, "balance")
    return GroupSampler(split.labels, groups, len(split.class_names))
