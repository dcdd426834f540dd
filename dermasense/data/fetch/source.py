"""Files that a person has, wherever they lie: a folder, a zip, zips in a folder, zips in a zip."""

import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from dermasense.errors import DermaSenseError

# What publishers ship, of the formats that `assemble` knows by their first bytes.
PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
TABLES = (".csv", ".tab", ".tsv")
BARE_TABLES = ("ham10000_metadata",)  # the publisher's own name for it has no ending
_DEPTH = 2  # PAD-UFES-20 is a zip of zips; nothing is deeper


@dataclass(frozen=True)
class Entry:
    """One file.

    Attributes:
        name: for messages, such as "part_1.zip: a/b.jpg".
        base: the last part of the name.
        size: in bytes.
        open: opens it for reading bytes.
        path: the file itself where it is not inside a zip.
    """

    name: str
    base: str
    size: int
    open: Callable[[], IO[bytes]]
    path: Path | None = None


class Source:
    """Pictures and tables below a folder or inside zips, by name; opens zips, unpacks nothing.

    Args:
        place: a folder, or a zip.
        scratch: folder for zips that lie inside a zip; made when needed.

    Raises:
        DermaSenseError: no such place, a damaged zip, or one whose names lead outside of it.
    """

    def __init__(self, place: Path, scratch: Path):
        self.place = place
        self.tables: list[Entry] = []
        self._pictures: dict[str, list[Entry]] = {}
        self._scratch = scratch
        self._open = ExitStack()
        try:
            self._read()
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def picture(self, name: str, suffixes: tuple[str, ...] = PICTURES) -> Entry | None:
        """The picture of that id, or of that file name; None where there is none.

        Raises:
            DermaSenseError: two different pictures of that name (an equal one is taken once, as in
                Kaggle's HAM10000, which holds every image twice).
        """
        names = [name, *(name + suffix for suffix in suffixes)]
        found = [e for n in names for e in self._pictures.get(n.lower(), ())]
        found = [e for e in found if e.base.lower().endswith(suffixes)]
        if len({entry.size for entry in found}) > 1:
            raise self.refuse(
                f"two different pictures are called {name} ({found[0].name} and {found[-1].name}); "
                "leave one of them out"
            )
        return found[0] if found else None

    def refuse(self, reason: str) -> DermaSenseError:
        """The error that says why these files cannot be taken."""
        return DermaSenseError(f"source={self.place}: {reason}.")

    def _read(self) -> None:
        if self.place.is_dir():
            for entry in _walk(self.place):
                self._add(entry, depth=0)
        elif self.place.is_file() and self.place.suffix.lower() == ".zip":
            self._add_zip(self.place, self.place.name, depth=1)
        elif self.place.exists():
            raise self.refuse("expected a folder or a zip")
        else:
            raise self.refuse("no such folder or zip")

    def _add(self, entry: Entry, depth: int) -> None:
        lower = entry.base.lower()
        if lower.startswith("."):
            return
        if lower.endswith(".zip") and depth < _DEPTH:
            self._add_zip(entry.path or self._unpacked(entry), entry.name, depth + 1)
        elif lower.endswith(TABLES) or lower in BARE_TABLES:
            self.tables.append(entry)
        elif lower.endswith(PICTURES):
            self._pictures.setdefault(lower, []).append(entry)

    def _add_zip(self, path: Path, shown: str, depth: int) -> None:
        with self._reading(shown):
            archive = self._open.enter_context(zipfile.ZipFile(path))
        for info in archive.infolist():
            parts = PurePosixPath(info.filename.replace("\\", "/")).parts
            if not parts or info.is_dir() or "__MACOSX" in parts:
                continue
            if parts[0] == "/" or parts[0].endswith(":") or ".." in parts:
                raise self.refuse(
                    f"{shown} holds the name {info.filename!r}, which leads outside of it; this is "
                    "not the publisher's file, so download it again from their page"
                )
            reading = partial(self._opened, archive, info, shown)
            name = f"{shown}: {info.filename}"
            self._add(Entry(name, parts[-1], info.file_size, reading), depth)

    def _opened(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> IO[bytes]:
        with self._reading(f"{shown}: {info.filename}"):
            return archive.open(info)

    def _unpacked(self, entry: Entry) -> Path:
        """A zip inside a zip, written out: members of a zip cannot be sought in at speed."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        path = self._scratch / f"{len(list(self._scratch.iterdir()))}_{entry.base}"
        with self._reading(entry.name), entry.open() as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        return path

    @contextmanager
    def _reading(self, shown: str) -> Iterator[None]:
        with readable(shown):
            yield


@contextmanager
def readable(shown: str) -> Iterator[None]:
    """Turns the ways in which a zip can be damaged into one sentence."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DermaSenseError(
            f"{shown} is damaged ({error}); delete that file and get it again."
        ) from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted; an unusual compression
        raise DermaSenseError(
            f"{shown} cannot be unpacked here ({error}); unpack it with another program and give "
            "the folder as source=<folder>."
        ) from None


def _walk(folder: Path) -> Iterator[Entry]:
    """Files below `folder` in the order of their names, hidden ones and hidden folders left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(n for n in folders if n[0] != "." and n != "__MACOSX")
        for name in sorted(files):
            path = Path(place) / name
            if name.startswith(".") or not path.is_file():
                continue
            shown = path.relative_to(folder).as_posix()
            yield Entry(shown, name, path.stat().st_size, partial(open, path, "rb"), path)
