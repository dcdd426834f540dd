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


class View(_OnDisk):
    """One view of the samples of a split at a boundary of the network.

    Real pictures lie in a file of the whole store, which all splits and folds share; SMOTE's
    samples in one of their own.

    Args:
        real: activations of the store's pictures, (N, ...), usually a memory map.
        row: where each sample lies, (n,) int64: a row of `real`, or -1 - k for row k of `made`.
        made: activations of SMOTE's samples, or None where there are none.
    """

    def __init__(self, real: np.ndarray, row: np.ndarray, made: np.ndarray | None = None):
        self.real, self.row, self.made = real, row, made

    def __len__(self) -> int:
        return len(self.row)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, ...)"""
        return (len(self.row), *self.real.shape[1:])

    def __getitem__(self, positions: np.ndarray | slice) -> np.ndarray:
        """The activations of some samples, copied from the files."""
        row = self.row[positions]
        if self.made is None:
            return np.asarray(self.real[row])
        values = np.empty((len(row), *self.real.shape[1:]), self.real.dtype)
        values[row >= 0] = self.real[row[row >= 0]]
        values[row < 0] = self.made[-1 - row[row < 0]]
        return values

    def release(self) -> None:
        """See :func:`dermasense.data.pages.release`."""
        release(self.real)
        release(self.made)


class Blends(_OnDisk):
    """A view of samples that are blended where they are read, as SMOTE between embeddings is.

    Args:
        view: of the real images, a row each.
        draws: which rows of it are blended, and how much.
    """

    def __init__(self, view: View, draws: Draws):
        self.view, self.draws = view, draws

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        """(n, ...) float32, first + weight * (second - first)."""
        draws = self.draws[positions]
        values = self.view[draws.first].astype(np.float32)
        made = draws.weight > 0
        if made.any():
            weight = draws.weight[made].astype(np.float32)
            weight = weight.reshape(-1, *[1] * (values.ndim - 1))
            values[made] += weight * (self.view[draws.second[made]] - values[made])
        return values

    def release(self) -> None:
        """See :func:`dermasense.data.pages.release`."""
        self.view.release()


class Activations(_OnDisk):
    """A view, fetched a batch at a time.

    Args:
        view: of the samples.
        draws: the samples.
        labels: class index of each row of the split.
    """

    def __init__(self, view: View | Blends, draws: Draws, labels: np.ndarray):
        self.view, self.draws, self.labels = view, draws, labels

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, keys: BatchKeys) -> dict[str, torch.Tensor]:
        """The batch that `keys` describe, as LesionImages gives it, but `x` is float32 (n, ...)."""
        first = self.draws.first[keys.position]
        x = torch.from_numpy(self.view[keys.position].astype(np.float32, copy=False))
        self.view.release()
        return {
            "x": x,
            "label": torch.from_numpy(self.labels[first]),
            "row": torch.from_numpy(first),
        }
