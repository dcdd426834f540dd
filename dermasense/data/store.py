"""Decoded images in one memory-mapped file, made once and shared by workers, processes and trials.

A store is a .npy file (N, S, S, 3) uint8 and a manifest beside it, named after a hash of the bytes
of every picture, in order, and of everything that decides about the pixels. The manifest holds a
checksum of each row, all of which are compared when a store is opened.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL

from dermasense.data.preprocess import InputSpec, UnreadableImage, read_rgb, resize_rgb
from dermasense.errors import DermaSenseError
from dermasense.files import read_json, write_text

try:
    import fcntl
except ImportError:  # Windows: two builders then both decode, which is slower but as safe
    fcntl = None

VERSION = 1
Progress = Callable[[int, int], None]
log = logging.getLogger(__name__)


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
        waits for it.

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
        opened = _open(path, len(paths), spec)
        if opened is None:
            with _alone(path):
                opened = _open(path, len(paths), spec)  # another process may have built it
                if opened is None:
                    _build(path, paths, digests, spec, progress)
                    opened = _open(path, len(paths), spec)
        if opened is None:
            raise DermaSenseError(f"{path}: damaged right after it was written; check the disk.")
        return opened


def _key(digests: Iterable[bytes], spec: InputSpec) -> str:
    # Pillow's release is part of the key: its decoders and filters decide about the pixels.
    options = [VERSION, PIL.__version__, *_pixel_options(spec)]
    key = hashlib.blake2b(json.dumps(options).encode(), digest_size=16)
    for digest in digests:
        key.update(digest)
    return f"images-{spec.image_size}-{key.hexdigest()}"


def _pixel_options(spec: InputSpec) -> list[int | str]:
    return [spec.image_size, spec.resize, spec.interpolation, spec.max_pixels]


def file_digest(path: str) -> bytes:
    """Hash of a file's bytes, read in pieces; of an absent or unreadable file, of its absence."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:
        return b"unreadable file!"


def _header(count: int, size: int) -> bytes:
    buffer = io.BytesIO()
    layout = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(buffer, layout)
    return buffer.getvalue()


def _open(path: Path, count: int, spec: InputSpec) -> DecodedStore | None:
    """The store, or None where it is absent or anything about it is not as it was written."""
    manifest = path.with_suffix(".json")
    if not (path.is_file() and manifest.is_file()):
        return None
    header = _header(count, spec.image_size)
    row_bytes = spec.image_size**2 * 3
    try:
        record = read_json(manifest)
        unreadable = {int(row): reason for row, reason in record["unreadable"].items()}
        checksums = record["crc32"]
        if record["self"] != _manifest_sum(checksums, record["unreadable"]):
            raise ValueError("its manifest does not match its own checksum")
        if path.stat().st_size != len(header) + count * row_bytes or len(checksums) != count:
            raise ValueError("it is truncated")
        with open(path, "rb") as file:
            if file.read(len(header)) != header:
                raise ValueError("its header is damaged")

            def read_sum(row: int) -> int:
                # Read, not mapped: mapped pages would count as this process's memory.
                return zlib.crc32(os.pread(file.fileno(), row_bytes, len(header) + row * row_bytes))

            for row, crc in enumerate(in_threads(read_sum, range(count))):
                if crc != checksums[row]:
                    raise ValueError(f"row {row} is damaged")
        return DecodedStore(path, unreadable)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("Rebuilding the image store %s: %s.", path.name, error)
        return None


def _build(
    path: Path,
    paths: Sequence[str],
    digests: Sequence[bytes],
    spec: InputSpec,
    progress: Progress | None,
) -> None:
    header = _header(len(paths), spec.image_size)
    row_bytes = spec.image_size**2 * 3
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.tmp")
    checksums: list[int] = []
    unreadable: dict[str, str] = {}
    step = max(1, len(paths) // 200)
    try:
        with open(temporary, "wb") as file:
            file.write(header)
            file.truncate(len(header) + len(paths) * row_bytes)
            file.flush()

            def fill(row: int) -> tuple[int, str]:
                pixels, reason = _decode(paths[row], digests[row], spec)
                # pwrite, not a memory map: a full disk is then an error and not a dead process
                _write_at(file.fileno(), pixels, len(header) + row * row_bytes)
                return zlib.crc32(pixels), reason

            for row, (crc, reason) in enumerate(in_threads(fill, range(len(paths)))):
                checksums.append(crc)
                if reason:
                    unreadable[str(row)] = reason
                if progress and ((row + 1) % step == 0 or row + 1 == len(paths)):
                    progress(row + 1, len(paths))
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        needed = (len(header) + len(paths) * row_bytes) / 1e9
        raise DermaSenseError(
            f"{path.parent}: cannot write {needed:.1f} GB of decoded images ({error.strerror}); "
            "make room or type cache_dir=<folder on another disk>."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    record = {"self": _manifest_sum(checksums, unreadable), "paths": len(paths)}
    record |= {"unreadable": unreadable, "crc32": checksums}
    write_text(path.with_suffix(".json"), json.dumps(record))


def _decode(path: str, digest: bytes, spec: InputSpec) -> tuple[np.ndarray, str]:
    """Pixels and "", or zeros and the reason."""
    zeros = np.zeros((spec.image_size, spec.image_size, 3), np.uint8)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return zeros, "no such file" if not os.path.exists(path) else str(error.strerror)
    if hashlib.blake2b(data, digest_size=16).digest() != digest:
        raise DermaSenseError(f"{path}: changed while it was read; start again when it is at rest.")
    try:
        return resize_rgb(read_rgb(data, spec.max_pixels, name=path), spec), ""
    except UnreadableImage as error:
        return zeros, error.reason


def _write_at(descriptor: int, pixels: np.ndarray, offset: int) -> None:
    view = memoryview(np.ascontiguousarray(pixels)).cast("B")
    while len(view):
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _manifest_sum(checksums: list[int], unreadable: dict[str, str]) -> int:
    return zlib.crc32(json.dumps([checksums, unreadable]).encode())


def in_threads(work: Callable, items: Iterable) -> Iterator:
    """`map` in as many threads as this process has cores (hashing and decoding release the GIL)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pool = ThreadPoolExecutor(min(16, cores or 1), thread_name_prefix="decode")
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of one store; the kernel lets go of it however this process ends."""
    with open(path.with_suffix(".lock"), "w") as file:
        locked = False
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                locked = True
            except OSError:  # a disk without locks: temporary names keep two builders apart
                log.debug("no file locks in %s", path.parent)
        if locked:
            for orphan in path.parent.glob(f".{path.stem}.*.tmp"):
                orphan.unlink(missing_ok=True)  # of a builder that was killed
        yield
