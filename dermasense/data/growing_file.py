"""A row file whose rows are computed when someone first asks for them.

Folds, seeds and trials ask for overlapping rows of one array: each row is computed once, whoever
comes first. Beside the .npy file lies a note of the rows that are there, with a checksum of each;
it is renewed every `SAVE` rows (in large files 64 times a build, since it is as long as they are),
so a build that was killed goes on where it was.
"""

import logging
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermasense.data.row_file import (
    BLOCK,
    RowFile,
    RowWriter,
    alone,
    check_room,
    in_threads,
    no_room,
    read_at,
)
from dermasense.errors import DermaSenseError
from dermasense.files import write_atomically

SAVE = 2048
ABSENT = -1
# Rows that this process has compared with their checksums, by file and its inode.
_compared: dict[tuple[Path, int], np.ndarray] = {}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GrowingFile(RowFile):
    """See :class:`RowFile`; here `path`'s name tells what decides about each single row."""

    def missing(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows` that are not there, or damaged; sorted, each once, int64."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        if not self._is_whole():
            return wanted
        sums = self._sums()
        there = wanted[sums[wanted] != ABSENT]
        key = (self.path, self.path.stat().st_ino)
        compared = _compared.setdefault(key, np.zeros(self.shape[0], bool))
        unread = there[~compared[there]]
        bad = self._damaged(unread, sums)
        if len(bad):
            log.warning(
                "%s: row %d is damaged (%d such rows); computing %s anew there.",
                self.path.name, bad[0], len(bad), self.content,
            )  # fmt: skip
        compared[unread] = True
        compared[bad] = False
        return np.setdiff1d(wanted, np.setdiff1d(there, bad))

    def filled(
        self,
        rows: np.ndarray,
        compute: Callable[[np.ndarray], Iterable[np.ndarray]],
    ) -> np.memmap:
        """The array with `rows` in it; others may be absent, and are zeros then.

        Two processes that ask at once get the same file: one computes, the other waits.

        Args:
            rows: which rows are needed.
            compute: called with the missing ones, sorted; yields their values, (n, ...) arrays of
                the file's type, in that order.

        Returns:
            A read-only memory map of the whole array.

        Raises:
            DermaSenseError: where the disk has no room.
        """
        if len(self.missing(rows)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path):
                missing = self.missing(rows)  # another process may have computed them
                if len(missing):
                    check_room(self.path.parent, len(missing) * self.row_bytes, self.content)
                    try:
                        self._fill(missing, compute)
                    except OSError as error:
                        size = len(missing) * self.row_bytes
                        raise no_room(
                            self.path.parent, size, self.content, error.strerror
                        ) from error
        return np.load(self.path, mmap_mode="r")

    def _fill(
        self, missing: np.ndarray, compute: Callable[[np.ndarray], Iterable[np.ndarray]]
    ) -> None:
        if not self._is_whole():
            self._create()
        sums, done, saved = self._sums(), 0, 0
        step = max(SAVE, len(missing) // 64)
        with open(self.path, "r+b") as file:
            write = RowWriter(file.fileno(), len(self.header()), self.shape[0])
            try:
                for values in compute(missing):
                    for row, value in zip(missing[done : done + len(values)], values, strict=True):
                        write(row, value[None])
                        sums[row] = write.checksums[row]
                    done += len(values)
                    if done - saved >= step:
                        self._save(file.fileno(), sums)
                        saved = done
            finally:  # what was computed before an error or Ctrl-C is kept
                self._save(file.fileno(), sums)
        if done != len(missing):
            raise DermaSenseError(f"{self.path}: {done} of {len(missing)} rows were computed.")

    def _create(self) -> None:
        """An empty file of the right size, a sparse one where the disk can."""
        self._note.unlink(missing_ok=True)

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                file.write(self.header())
                file.truncate(len(self.header()) + self.nbytes)

        write_atomically(self.path, write)

    def _is_whole(self) -> bool:
        header = self.header()
        try:
            if self.path.stat().st_size != len(header) + self.nbytes:
                return False
            with open(self.path, "rb") as file:
                return file.read(len(header)) == header
        except OSError:
            return False

    @property
    def _note(self) -> Path:
        return self.path.with_suffix(".rows")

    def _sums(self) -> np.ndarray:
        """The checksum of each row, ABSENT where it is not there; (n,) int64."""
        try:
            note = np.fromfile(self._note, dtype=np.int64)
        except OSError:
            note = np.empty(0, np.int64)
        if len(note) == self.shape[0] + 1 and zlib.crc32(note[:-1]) == note[-1]:
            return note[:-1].copy()
        return np.full(self.shape[0], ABSENT)

    def _save(self, descriptor: int, sums: np.ndarray) -> None:
        os.fsync(descriptor)  # a row must be on the disk before the note says so
        note = np.append(sums, zlib.crc32(sums))
        write_atomically(self._note, note.tofile)

    def _damaged(self, rows: np.ndarray, sums: np.ndarray) -> np.ndarray:
        if not len(rows):
            return rows
        start = len(self.header())
        with open(self.path, "rb") as file:

            def damaged(block: np.ndarray) -> list[bool]:
                places = [start + int(row) * self.row_bytes for row in block]
                read = [zlib.crc32(read_at(file.fileno(), self.row_bytes, at)) for at in places]
                return [found != sums[row] for row, found in zip(block, read, strict=True)]

            blocks = np.split(rows, range(BLOCK, len(rows), BLOCK))
            return rows[np.concatenate(list(in_threads(damaged, blocks)))]
