"""Shares and means over images with intervals over lesions, and one image or one vote a lesion."""

from functools import cached_property

import numpy as np

from dermasense.evaluation.bootstrap import BLOCKS, Interval, group_draws, interval
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Behind, spans


def one_per_group(predictions: Predictions, seed: int = 0) -> Predictions:
    """One image of each lesion, drawn by the seed, in the order of the lesions' names.

    Guarantees of conformal sets and of risk control ask for exchangeable images. Photographs of
    one lesion are alike, and a lesion that was photographed more often would count more often; one
    random image a lesion makes them exchangeable with a random image of a new lesion (Dunn,
    Wasserman & Ramdas 2022, "subsampling once").
    """
    order = np.argsort(predictions.frame["image_id"].astype(str).to_numpy(), kind="stable")
    order = np.random.default_rng(seed).permutation(order)
    _, first = np.unique(predictions.groups[order], return_index=True)
    return predictions.rows(order[first])


def votes(groups: np.ndarray) -> np.ndarray:
    """How much each image counts so that each lesion counts once, shape (N,)."""
    return 1.0 / np.bincount(groups)[groups]


class Ratios:
    """Ratios of sums over images, sum(top) / sum(bottom), with intervals by bootstrap over groups.

    Args:
        groups: of the images, 0..G-1, shape (N,).
        resamples, seed: of the bootstrap, see :mod:`dermasense.evaluation.bootstrap`.
    """

    def __init__(self, groups: np.ndarray, resamples: int = 1000, seed: int = 0):
        self.groups, self.n_groups = groups, int(groups.max()) + 1
        self._resamples, self._seed = resamples, seed

    def __call__(
        self,
        top: np.ndarray,
        bottom: np.ndarray | None = None,
        *,
        level: float = 0.95,
        share: bool = True,
        difference: bool = False,
    ) -> Interval:
        """One ratio; value None where sum(bottom) is 0.

        Args:
            top: shape (N,).
            bottom: shape (N,), >= 0; None counts every image once.
            level: nominal coverage of the interval.
            share: whether it is a share, 0..1, so that it has an interval where all agree.
            difference: whether it is one ratio minus another of the same images, -1..1 for shares.
        """
        bottom = np.ones(len(self.groups)) if bottom is None else np.asarray(bottom, float)
        top = np.asarray(top, float)
        over, under = (np.bincount(self.groups, each, self.n_groups) for each in (top, bottom))
        behind = int((bottom > 0).sum()), int((under > 0).sum())
        if behind[0] == 0:
            return Interval(None, None, None, 0, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = self._drawn(np.stack([over, under], axis=1))
            draws = drawn[:, 0] / drawn[:, 1]
            left_out = self._left_out(over) / self._left_out(under)
        return interval(
            "recall" if share else "mean",
            float(over.sum() / under.sum()),
            draws,
            left_out,
            Behind(*behind, behind[1] - 1.0),
            level,
            difference=difference,
        )

    def _drawn(self, sums: np.ndarray) -> np.ndarray:
        """What each resample has of the groups' sums (G, K), shape (resamples, K)."""
        parts = spans(self._resamples, self.n_groups)
        return np.concatenate(
            [self._draws[some.start : some.stop].astype(float) @ sums for some in parts]
        )

    def _left_out(self, sums: np.ndarray) -> np.ndarray:
        """The sum of all but a block of groups, shape (blocks,); nothing is left of one group."""
        if self.n_groups == 1:
            return np.empty(0)
        blocks = min(self.n_groups, BLOCKS)
        block = np.random.default_rng([self._seed, blocks]).permutation(self.n_groups) % blocks
        return sums.sum() - np.bincount(block, sums, blocks)

    @cached_property
    def _draws(self) -> np.ndarray:
        """How often each group is drawn, shape (resamples, G); a byte: 256 times never happens."""
        draws = np.empty((self._resamples, self.n_groups), np.uint8)
        for some in spans(self._resamples, self.n_groups):
            draws[some.start : some.stop] = group_draws(self.n_groups, some, self._seed).T
        return draws
