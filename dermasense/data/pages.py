"""Memory of the processes that read a memory-mapped store."""

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np


def release(images: Any) -> None:
    """Lets go of the mapped pages of a store; the file stays in the system's cache.

    Pages that were read count as memory of this process until the system needs them: after one
    epoch the whole store. Reading them again costs microseconds.

    Args:
        images: a memory map that does not hold changes of its own, a view of one, or an object
            with one as `images` or `base`; anything else is left alone.
    """
    while images is not None and not isinstance(images, mmap.mmap):
        if isinstance(images, np.memmap) and images.mode not in ("r", "r+"):
            return  # a private map would lose its changes
        images = getattr(images, "images", None) if not hasattr(images, "base") else images.base
    if images is not None and hasattr(images, "madvise"):  # Windows has no such call
        images.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Mapped:
    """A part of a file that is mapped into memory: what a memory map pickles as.

    numpy pickles a memory map by value, so each spawned worker would be sent the whole store.
    """

    path: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, value: Any) -> Any:
        """Where `value` lies, if it is a read-only memory map or a piece of one; else `value`."""
        if not isinstance(value, np.memmap) or value.mode != "r" or not value.flags.c_contiguous:
            return value
        root = value
        while isinstance(root.base, np.ndarray):
            root = root.base
        # A view inherits the offset of its map, so its own is told by the addresses.
        inside = value.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return cls(str(root.filename), value.dtype, root.offset + inside, value.shape)

    def open(self) -> np.memmap:
        """The same array, mapped anew."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
