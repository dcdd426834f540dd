"""Which rows an epoch walks, in which order and with which draws: a function of seed, phase, epoch.

Nothing here keeps a random state, so a resumed run needs none: batch b of epoch e of phase p is the
same whether the process has just started or has run for hours, and whatever the number of workers.
Where several processes train together each walks its part of that batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dermasense.data.balance import Draws, Rows
from dermasense.data.shard import WHOLE, Shard

_ORDER, _AUGMENT, _VIEWS = 0, 1, 2


@dataclass(frozen=True)
class BatchKeys:
    """What a batch is made of.

    Attributes:
        position: which samples of the balanced training split, int64 (n,).
        draws: which images each is made of, blended how.
        seed: seed of each sample's augmentation, int64 (n,).
    """

    position: np.ndarray
    draws: Draws
    seed: np.ndarray


class EpochBatches:
    """Batch sampler of one epoch: yields `BatchKeys`, optionally from the middle of the epoch.

    Args:
        rows: what the balancing makes of the training split.
        batch_size: images a batch; the last one may be smaller.
        seed: seed of the run.
        phase: index of the phase.
        epoch: index of the epoch in its phase.
        start: first batch to yield, so that a resumed epoch goes on where it was cut.
        most: number of batches after which the epoch ends; None walks all rows.
        shard: the part of each batch that is yielded.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        *,
        seed: int,
        phase: int,
        epoch: int,
        start: int = 0,
        most: int | None = None,
        shard: Shard = WHOLE,
    ):
        self.rows, self.batch_size, self.start = rows, batch_size, start
        self.shard = shard
        self.place = (seed, phase, epoch)
        self.total = batches_in(len(rows), batch_size, most)

    def __len__(self) -> int:
        return self.total - self.start

    def __iter__(self) -> Iterator[BatchKeys]:
        order = self.rows.order(np.random.default_rng([*self.place, _ORDER]))
        # 63 bits of seed a sample: position and epoch never share a draw.
        seeds = np.random.default_rng([*self.place, _AUGMENT]).integers(2**63, size=len(order))
        for batch in range(self.start, self.total):
            whole = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            part = self.shard.of_batch(len(order[whole]))
            walked, drawn = order[whole][part], seeds[whole][part]
            yield BatchKeys(walked, self.rows.draws[walked], drawn)


def batches_in(rows: int, batch_size: int, most: int | None = None) -> int:
    """Number of batches in an epoch of `rows` samples, at most `most`."""
    total = -(-rows // batch_size)
    return total if most is None else min(total, most)


def limited(total: int, limit: float | None) -> int:
    """Batches of `total` that a limit leaves: a number, a share (at least one batch), None: all."""
    if isinstance(limit, float):
        limit = max(1, int(limit * total))
    return total if limit is None else min(total, limit)


def sequential_batches(rows: int, batch_size: int, shard: Shard = WHOLE) -> list[BatchKeys]:
    """Every row of this process's part once, in order, unaltered: what evaluation walks."""
    index = np.arange(rows)[shard.part(rows)]
    return [
        BatchKeys(part, Draws.of_rows(part), np.zeros(len(part), np.int64))
        for part in np.split(index, range(batch_size, len(index), batch_size))
    ]


def view_seeds(seed: int, view: int, count: int, *, made: bool = False) -> np.ndarray:
    """Seeds of the augmentation that is drawn once for a whole run, int64 (count,).

    Args:
        seed: of the run.
        view: which of the views.
        count: of pictures in the store, so that a picture has the same views in every split and
            fold; or of SMOTE's samples.
        made: SMOTE's samples.
    """
    return np.random.default_rng([seed, view, int(made), _VIEWS]).integers(2**63, size=count)
