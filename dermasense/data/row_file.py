"""One array in a memory-mapped file: made once, checked when opened, safe to build twice at once.

A row file is a .npy file and a manifest beside it. The manifest holds a checksum of each row; all
are compared when a process opens the file for the first time. Row files are caches: any of them may
be deleted, and is built again when it is next needed.
"""

import contextlib
import io
import itertools
import json
import logging
import os
import shutil
import threading
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermasense.errors import DermaSenseError
from dermasense.files import read_json, write_text
from dermasense.provenance import usable_cores

try:
    import fcntl
except ImportError:  # Windows: two builders then both build, which is slower but as safe
    fcntl = None

BLOCK = 64  # rows that a thread compares at a time: a task of a pool costs more than a small row
SPARE = 200e6  # bytes that a build leaves free on the disk
log = logging.getLogger(__name__)
_checked: dict[Path, tuple] = {}  # files whose rows this process has compared, as they were then
_position = threading.Lock()  # of a descriptor that threads share, where pread is absent (Windows)


class RowWriter:
    """Writes rows of a file that is being built; several threads may share it."""

    def __init__(self, descriptor: int, offset: int, rows: int) -> None:
        self.checksums = [0] * rows
        self._descriptor, self._offset = descriptor, offset

    def __call__(self, start: int, rows: np.ndarray) -> None:
        """Writes consecutive rows, the first of them at `start`; the type is the file's."""
        rows = np.ascontiguousarray(rows)
        for i, row in enumerate(rows):
            self.checksums[start + i] = zlib.crc32(row)
        # Written, not mapped: a full disk is then an error and not a dead process
        view, offset = memoryview(rows).cast("B"), self._offset + start * rows[0].nbytes
        while len(view):
            written = write_at(self._descriptor, view, offset)
            view, offset = view[written:], offset + written


@dataclass(frozen=True)
class RowFile:
    """A file of rows that is there and whole after `open_or_build`.

    Attributes:
        path: the .npy file; its name must tell everything that decides about the content.
        shape: of the array; the first axis counts the rows.
        dtype: of the array, as numpy names it.
        content: what the rows are, for messages: "decoded images".
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    content: str

    @property
    def nbytes(self) -> int:
        """Size of the rows in bytes."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def open_or_build(self, build: Callable[[RowWriter], dict]) -> tuple[np.memmap, dict]:
        """Open the file, or build it where it is absent or damaged.

        Two processes that ask for the same file at once get the same one: one builds, the other
        waits for it.

        Args:
            build: writes every row and returns notes (plain values for JSON), kept with the rows.

        Returns:
            The rows, a read-only memory map, and the notes.

        Raises:
            DermaSenseError: where the disk has no room (said before any work), or damages what was
                just written.
        """
        opened = self.open()
        if opened is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path):
                opened = self.open()  # another process may have built it
                if opened is None:
                    check_room(self.path.parent, self.nbytes, self.content)
                    self._build(build)
                    opened = self.open()
        if opened is None:
            raise DermaSenseError(
                f"{self.path}: damaged right after it was written; check the disk."
            )
        return opened

    def open(self) -> tuple[np.memmap, dict] | None:
        """Rows and notes, or None where anything about the file is not as it was written."""
        manifest = self.path.with_suffix(".json")
        if not (self.path.is_file() and manifest.is_file()):
            return None
        try:
            record = read_json(manifest)
            state = (_state(self.path), _state(manifest))
            if _checked.get(self.path) != state:
                self._compare(record)
                _checked[self.path] = state
            return np.load(self.path, mmap_mode="r"), record["notes"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, DermaSenseError) as error:
            log.warning("Building %s anew, %s: %s.", self.path.name, self.content, error)
            return None

    def _compare(self, record: dict) -> None:
        """Raises ValueError at the first thing that differs from the manifest."""
        header, row_bytes, checksums = self.header(), self.row_bytes, record["crc32"]
        if record["self"] != _manifest_sum(checksums, record["notes"]):
            raise ValueError("its manifest does not match its own checksum")
        size = len(header) + self.nbytes
        if self.path.stat().st_size != size or len(checksums) != self.shape[0]:
            raise ValueError("it is truncated")
        with open(self.path, "rb") as file:
            if file.read(len(header)) != header:
                raise ValueError("its header is damaged")

            def read_sums(first: int) -> list[int]:
                # Read, not mapped: mapped pages would count as this process's memory.
                rows = range(first, min(first + BLOCK, self.shape[0]))
                places = [len(header) + row * row_bytes for row in rows]
                return [zlib.crc32(read_at(file.fileno(), row_bytes, place)) for place in places]

            blocks = in_threads(read_sums, range(0, self.shape[0], BLOCK))
            for row, crc in enumerate(itertools.chain.from_iterable(blocks)):
                if crc != checksums[row]:
                    raise ValueError(f"row {row} is damaged")

    def _build(self, build: Callable[[RowWriter], dict]) -> None:
        header = self.header()
        temporary = self.path.with_name(f".{self.path.stem}.{uuid.uuid4().hex}.tmp")
        try:
            with open(temporary, "wb") as file:
                file.write(header)
                file.truncate(len(header) + self.nbytes)
                file.flush()
                writer = RowWriter(file.fileno(), len(header), self.shape[0])
                notes = build(writer)
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            raise no_room(self.path.parent, self.nbytes, self.content, error.strerror) from error
        finally:
            temporary.unlink(missing_ok=True)
        record = {"self": _manifest_sum(writer.checksums, notes), "notes": notes}
        write_text(self.path.with_suffix(".json"), json.dumps(record | {"crc32": writer.checksums}))

    @property
    def row_bytes(self) -> int:
        """Size of one row in bytes."""
        return self.nbytes // self.shape[0]

    def header(self) -> bytes:
        """What stands before the rows."""
        buffer = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(np.dtype(self.dtype))
        layout = {"descr": descr, "fortran_order": False, "shape": tuple(self.shape)}
        np.lib.format.write_array_header_1_0(buffer, layout)
        return buffer.getvalue()


def check_room(folder: Path, nbytes: int, content: str) -> None:
    """Raises DermaSenseError where the disk of `folder` has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < nbytes + SPARE:
        raise no_room(folder, nbytes, content, f"{free / 1e9:.1f} GB are free")


def no_room(folder: Path, nbytes: int, content: str, reason: str | None) -> DermaSenseError:
    """What to say where a cache does not fit on its disk."""
    return DermaSenseError(
        f"{folder}: cannot write {nbytes / 1e9:.1f} GB of {content} ({reason}); make room or type "
        "cache_dir=<folder on another disk>."
    )


def in_threads(work: Callable, items: Iterable) -> Iterator:
    """`map` in as many threads as this process has cores (hashing and decoding release the GIL).

    Tasks are handed out some thousands at a time: a pool keeps a kilobyte for each that waits.
    """
    pool = ThreadPoolExecutor(min(16, usable_cores()), thread_name_prefix="rows")
    try:
        waiting = iter(items)
        while some := list(itertools.islice(waiting, 4096)):
            yield from pool.map(work, some)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Bytes of a file that threads share."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    with _position:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


def write_at(descriptor: int, data: memoryview, offset: int) -> int:
    """Writes to a file that threads share; returns how many bytes it took."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, offset)
    with _position:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.write(descriptor, data)


def _state(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _manifest_sum(checksums: list[int], notes: dict) -> int:
    return zlib.crc32(json.dumps([checksums, notes]).encode())


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of one file; the kernel lets go of it however this process ends."""
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
