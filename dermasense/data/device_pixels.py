"""The decoded pictures of a run in the memory of the device that trains: a batch is a lookup."""

import numpy as np
import torch
from torch.utils.data import Dataset

from dermasense.data.device_augment import DeviceAugmentation
from dermasense.data.sampling import BatchKeys
from dermasense.errors import DermaSenseError

CHUNK = 1024


class DevicePixels:
    """All pictures of a store on one device; 10,015 at 224 px are 1.5 GB.

    Args:
        images: (N, S, S, 3) uint8, usually a memory map.
        device: as torch names it.

    Raises:
        DermaSenseError: where the device has no room.
    """

    def __init__(self, images: np.ndarray, device: str) -> None:
        try:
            self.images = torch.empty(images.shape, dtype=torch.uint8, device=device)
            for start in range(0, len(images), CHUNK):
                part = np.array(images[start : start + CHUNK])  # torch wants one it may write to
                self.images[start : start + CHUNK] = torch.from_numpy(part)
        except torch.OutOfMemoryError:
            raise DermaSenseError(
                f"pixels=device: {np.prod(images.shape) / 1e9:.1f} GB of pictures do not fit into "
                "the device's memory; type pixels=loader, or a smaller model.image_size."
            ) from None

    def fetch(
        self, places: dict[str, torch.Tensor], augment: DeviceAugmentation | None
    ) -> dict[str, torch.Tensor]:
        """A batch of `Places`, on the CPU, with its pictures: what LesionImages gives.

        Args:
            places: `first`, `second`, `weight`, `seed`, `label`, `row`, each (n,).
            augment: what to do to the pictures.
        """
        there = {name: value.to(self.images.device) for name, value in places.items()}
        x = self.images[there["first"]]
        if bool((places["weight"] > 0).any()):  # known on the CPU: no wait for the device
            one, other = x.double(), self.images[there["second"]].double()
            blend = one + there["weight"][:, None, None, None] * (other - one)
            x = blend.round().to(torch.uint8)
        x = x.permute(0, 3, 1, 2)
        if augment is not None:
            x = augment.batch(x, places["seed"].numpy())
        return {"x": x, "label": there["label"], "row": there["row"]}


class Places(Dataset):
    """Where the pictures of a batch lie, and how they are to be changed.

    Args:
        rows: rows of the store that belong to this split, in the order of `labels`.
        labels: class index of each row, (n,).
    """

    def __init__(self, rows: np.ndarray, labels: np.ndarray) -> None:
        self.rows, self.labels = rows, labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, keys: BatchKeys) -> dict[str, torch.Tensor]:
        """The batch that `keys` describe, for :meth:`DevicePixels.fetch`."""
        draws = keys.draws
        arrays = {
            "first": self.rows[draws.first],
            "second": self.rows[draws.second],
            "weight": draws.weight,
            "seed": keys.seed,
            "label": self.labels[draws.first],
            "row": draws.first,
        }
        return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
