"""Decoded images in one memory-mapped file, made once and shared by workers, processes and trials.

A store is a row file (N, S, S, 3) uint8, named after a hash of the bytes of every picture, in
order, and of everything that decides about the pixels.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import PIL

from dermasense.data.cleaning import versions
from dermasense.data.preprocess import (
    InputSpec,
    TooLarge,
    UnreadableHere,
    UnreadableImage,
    read_rgb,
    resize_rgb,
)
from dermasense.data.regular_file import open_regular, reason_of
from dermasense.data.row_file import RowFile, RowWriter, in_threads
from dermasense.errors import DermaSenseError

VERSION = 2
ABSENT = b"unreadable file!"
BEGAN = time.time()  # this process; a store that is younger was built by it or beside it
Progress = Callable[[int, int], None]


class DecodedStore:
    """Decoded, resized pixels in the order of the paths.

    Attributes:
        images: (N, S, S, 3) uint8, a read-only memory map.
        unreadable: reason by row, for pictures that could not be decoded; their rows are zeros.
        path: the .npy file.
    """

    def __init__(self, path: Path, unreadable: dict[int, str]) -> None:
        self.path = path
        self.unreadable = unreadable
        self.images: np.memmap = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self.images)

    def __reduce__(self):
        # A pickled memmap would carry every pixel to each spawned worker.
        return type(self), (self.path, self.unreadable)

    @classmethod
    def open_or_build(
        cls,
        paths: Sequence[str],
        spec: InputSpec,
        cache_dir: str | Path,
        progress: Progress | None = None,
    ) -> "DecodedStore":
        """Open the store of these pictures, or decode them where it is absent or damaged.

        Two processes that ask for the same store at once get the same file: one builds, the other
        waits for it. Pictures that lacked a program or memory are tried again by later processes.

        Args:
            paths: the pictures, in order; at least one.
            spec: image size, resizing and pixel limit (mean and std play no part).
            cache_dir: folder of the stores; made where it is absent.
            progress: called with (pictures done, of all) while decoding.

        Raises:
            DermaSenseError: no pictures, no room on the disk, or a picture that changes meanwhile.
        """
        if not len(paths):
            raise DermaSenseError("there are no images to decode; check data.root.")
        folder = Path(cache_dir)
        folder.mkdir(parents=True, exist_ok=True)
        digests = list(in_threads(file_digest, paths))
        path = folder / f"{_key(digests, spec)}.npy"
        file = RowFile(path, (len(paths), *[spec.image_size] * 2, 3), "uint8", "decoded images")

        def build(write: RowWriter) -> dict:
            return _decode_all(write, paths, digests, spec, progress)

        _, notes = file.open_or_build(build)
        if _may_be_readable_now(path, notes):
            path.with_suffix(".json").unlink(missing_ok=True)
            _, notes = file.open_or_build(build)
        return cls(path, {int(row): reason for row, reason in notes["unreadable"].items()})


def _may_be_readable_now(path: Path, notes: dict) -> bool:
    # A store without the note is of a release that did not tell; it is built anew once.
    if not notes.get("unreadable_here", notes["unreadable"]):
        return False
    try:
        return path.with_suffix(".json").stat().st_mtime < BEGAN
    except OSError:  # another process builds it anew at this moment
        return True


def _key(digests: Iterable[bytes], spec: InputSpec) -> str:
    # Pillow's release is part of the key: its decoders and filters decide about the pixels.
    options = [VERSION, PIL.__version__, *_pixel_options(spec)]
    key = hashlib.blake2b(json.dumps(options).encode(), digest_size=16)
    for digest in digests:
        key.update(digest)
    return f"images-{spec.image_size}-{key.hexdigest()}"


def _pixel_options(spec: InputSpec) -> list[int | str]:
    options = [spec.image_size, spec.resize, spec.interpolation, spec.max_pixels]
    return [*options, *versions(spec.clean)]


def file_digest(path: str) -> bytes:
    """Hash of a file's bytes; of an absent or unreadable file, of its absence.

    A process reads a file once, and again when its size or date has changed: the trials of a sweep
    ask for the same thousands of files each.
    """
    try:
        stat = os.stat(path)
        return _digest_of(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError):  # ValueError: a path that no system has
        return ABSENT


@lru_cache(maxsize=2**20)
def _digest_of(path: str, size: int, mtime: int) -> bytes:
    with open_regular(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def _decode_all(
    write: RowWriter,
    paths: Sequence[str],
    digests: Sequence[bytes],
    spec: InputSpec,
    progress: Progress | None,
) -> dict:
    """Writes the pixels of all pictures; returns notes on those that cannot be read.

    Returns:
        unreadable: reason by row; unreadable_here: rows whose reason is not the picture's fault.
    """
    unreadable: dict[str, str] = {}
    here: list[int] = []
    step = max(1, len(paths) // 200)

    def fill(row: int) -> str:
        try:
            pixels, reason = _decode(paths[row], digests[row], spec)
        except UnreadableHere as error:
            pixels, reason = _zeros(spec), error.reason
            here.append(row)
        write(row, pixels[None])
        return reason

    for row, reason in enumerate(in_threads(fill, range(len(paths)))):
        if reason:
            unreadable[str(row)] = reason
        if progress and ((row + 1) % step == 0 or row + 1 == len(paths)):
            progress(row + 1, len(paths))
    return {"unreadable": unreadable, "unreadable_here": sorted(here)}


def _decode(path: str, digest: bytes, spec: InputSpec) -> tuple[np.ndarray, str]:
    """Pixels and "", or zeros and the reason, but for what is not the picture's fault."""
    zeros = _zeros(spec)
    try:
        with open_regular(path) as file:
            data = file.read()
    except (OSError, ValueError) as error:
        return zeros, reason_of(error)
    if hashlib.blake2b(data, digest_size=16).digest() != digest:
        raise DermaSenseError(f"{path}: changed while it was read; start again when it is at rest.")
    try:
        return resize_rgb(read_rgb(data, spec.max_pixels, name=path), spec), ""
    except UnreadableHere:
        raise
    except TooLarge as error:
        return zeros, f"{error.reason} or raise data.max_pixels"
    except UnreadableImage as error:
        return zeros, error.reason


def _zeros(spec: InputSpec) -> np.ndarray:
    return np.zeros((spec.image_size, spec.image_size, 3), np.uint8)
