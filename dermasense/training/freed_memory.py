"""Memory that a step frees is kept for the next one, where the C library would return it.

glibc maps every large block anew from the system and unmaps it when it is freed, so each step of a
CPU pays a page fault for every 4 kB of its activations, 800,000 of them for 32 pictures of 224
pixels in EfficientNet-Lite0; `benchmarks/steps.py` measures a loop without this beside ours.
"""

import contextlib
import ctypes
from collections.abc import Iterator

# Numbers of glibc's malloc.h, and the defaults that mallopt(3) gives.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
KEEPING = {TRIM_THRESHOLD: -1, MMAP_MAX: 0}
DEFAULTS = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65536}


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[bool]:
    """Within, freed blocks stay with the process; afterwards what is free goes back to the system.

    The peak of memory is that of the largest step, as before, and some more by fragmentation.

    Yields:
        Whether the C library took it: glibc does, others (musl, macOS, Windows) are left as they
        are.
    """
    libc = _glibc()
    if libc is None:
        yield False
        return
    _set(libc, KEEPING)
    try:
        yield True
    finally:
        _set(libc, DEFAULTS)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for name, value in options.items():
        libc.mallopt(name, value)


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
        return libc if libc.gnu_get_libc_version and libc.mallopt else None
    except (AttributeError, OSError, TypeError):
        return None
