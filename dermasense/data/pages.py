"""Memory of a process that reads a memory-mapped store."""

import mmap
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
