"""Which samples of a split share a file of activations."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from dermasense.data.balance import Draws
from dermasense.data.datamodule import LesionData


@dataclass(frozen=True)
class Samples:
    """Samples that share a file: pictures of the store, or SMOTE's blends of one training split.

    Attributes:
        rows: where in the file they lie, int64 (n,).
        draws: what each is made of.
        count: rows of the whole file.
        identity: names what else decides about them.
        made: they are SMOTE's.
    """

    rows: np.ndarray
    draws: Draws
    count: int
    identity: str = ""
    made: bool = False

    def __bool__(self) -> bool:
        return len(self.rows) > 0

    def of(self, rows: np.ndarray) -> "Samples":
        """Those that lie at `rows`."""
        order = np.argsort(self.rows, kind="stable")
        chosen = order[np.searchsorted(self.rows[order], rows)]
        return replace(self, rows=rows, draws=self.draws[chosen])


def split_samples(data: LesionData, split: str) -> tuple[Samples, Samples, np.ndarray]:
    """The real and the made samples of a split, and where each of `draws(split)` lies.

    The last is `View.row`.
    """
    draws, store = data.draws(split), data.dataset(split).rows
    made = draws.weight > 0
    row = np.where(made, -np.cumsum(made), store[draws.first])
    identity = ""
    if made.any():
        key = hashlib.blake2b(digest_size=16)
        for array in (store[draws.first[made]], store[draws.second[made]], draws.weight[made]):
            key.update(np.ascontiguousarray(array))
        identity = key.hexdigest()
    real = Samples(row[~made], draws[~made], len(data.prepared.store.images))
    blends = Samples(np.arange(made.sum()), draws[made], int(made.sum()), identity, made=True)
    return real, blends, row
