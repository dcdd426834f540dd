"""Means over images with intervals over lesions: shares of changed answers, mean shifts."""

from collections.abc import Collection, Mapping

import numpy as np

from dermasense.evaluation.bootstrap import Interval, interval, jackknifed, resampled
from dermasense.evaluation.scores import Behind


class _Means:
    """Means of columns as functions of how much each lesion counts."""

    def __init__(self, columns: Mapping[str, np.ndarray], groups: np.ndarray):
        self.names, self.groups = list(columns), np.unique(groups, return_inverse=True)[1]
        self.n_groups = int(self.groups.max()) + 1
        table = np.stack([np.asarray(columns[name], float) for name in self.names], axis=1)
        self.sums = np.zeros((self.n_groups, len(self.names)))
        np.add.at(self.sums, self.groups, table)
        self.counts = np.bincount(self.groups).astype(float)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        means = (self.sums.T @ weights) / (self.counts @ weights)
        return dict(zip(self.names, means, strict=True))


def mean_intervals(
    columns: Mapping[str, np.ndarray],
    groups: np.ndarray,
    *,
    shares: Collection[str] = (),
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """The mean of each column over N images with its 95 % interval over lesions.

    Args:
        columns: name -> (N,) numbers, or truths for a share.
        groups: (N,) lesion of each image.
        shares: the columns that are shares, and have Wilson's interval where all images agree.
        resamples, seed: of the bootstrap.
    """
    means = _Means(columns, groups)
    points = means(np.ones((means.n_groups, 1)))
    draws, left_out = resampled(means, resamples, seed), jackknifed(means, seed)
    behind = Behind(len(groups), means.n_groups, means.n_groups - 1.0)
    return {
        name: interval(
            "top1" if name in shares else "mean",
            float(points[name][0]),
            draws[name],
            left_out[name],
            behind,
        )
        for name in means.names
    }
