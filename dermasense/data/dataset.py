"""Decoded images to batches: read, blend, augment; or activations that were computed before."""

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from dermasense.data.augment import Augmentation
from dermasense.data.balance import Draws, blend
from dermasense.data.pages import Mapped, release
from dermasense.data.sampling import BatchKeys


class _OnDisk(Dataset):
    """A dataset whose memory maps pickle as places in files: no pixel is sent to a worker."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: Mapped.of(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        opened = {k: v.open() if isinstance(v, Mapped) else v for k, v in state.items()}
        vars(self).update(opened)


class LesionImages(_OnDisk):
    """Images of one split, fetched a batch at a time.

    Args:
        images: decoded pixels of the whole store, (N, S, S, 3) uint8, usually a memory map.
        rows: rows of the store that belong to this split, in the order of `labels`.
        labels: class index of each row, (n,).
        augment: what to do to a training image, or None.
    """

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        labels: np.ndarray,
        augment: Augmentation | None = None,
    ):
        self.images, self.rows, self.labels, self.augment = images, rows, labels, augment

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, keys: BatchKeys) -> dict[str, torch.Tensor]:
        """The batch that `keys` describe.

        Returns:
            `x`: uint8 (n, 3, S, S), stored channels-last; `label`: int64 (n,); `row`: int64 (n,),
            rows of this split.
        """
        draws = keys.draws
        samples = zip(draws.first, draws.second, draws.weight, keys.seed, strict=True)
        pixels = np.stack([self._sample(*sample) for sample in samples])
        release(self.images)
        return {
            "x": torch.from_numpy(pixels).permute(0, 3, 1, 2),
            "label": torch.from_numpy(self.labels[draws.first]),
            "row": torch.from_numpy(draws.first),
        }

    def _sample(self, first: int, second: int, weight: float, seed: int) -> np.ndarray:
        image = self.images[self.rows[first]]
        if weight > 0:
            other = self.images[self.rows[second]]
            image = np.rint(blend(image, other, weight)).astype(np.uint8)
        return self.augment(image, int(seed)) if self.augment else np.asarray(image)


class Activations(_OnDisk):
    """One view of a split at a boundary of the network, fetched a batch at a time.

    Args:
        view: activations (n, ...), a row for each of `draws`, usually a memory map.
        draws: the samples.
        labels: class index of each row of the split.
    """

    def __init__(self, view: np.ndarray, draws: Draws, labels: np.ndarray):
        self.view, self.draws, self.labels = view, draws, labels

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, keys: BatchKeys) -> dict[str, torch.Tensor]:
        """The batch that `keys` describe, as LesionImages gives it, but `x` is float32 (n, ...)."""
        first = self.draws.first[keys.position]
        x = torch.from_numpy(self.view[keys.position].astype(np.float32))
        release(self.view)
        return {
            "x": x,
            "label": torch.from_numpy(self.labels[first]),
            "row": torch.from_numpy(first),
        }
