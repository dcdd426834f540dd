"""What `images=` may name: a file, folder, pattern, table of paths, or a zip read in place."""

import glob
import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from dermasense.data.catalog import read_table
from dermasense.data.preprocess import PICTURES
from dermasense.errors import DermaSenseError, first_line, nearest
from dermasense.evaluation.probabilities_csv import IDS

PATHS = ("path", "file", "filename", "image_path")
SKIPPED = ["image", "reason"]  # columns of a table of those that cannot be read
_MEMBER_LIMIT = 256 * 2**20  # bytes of one picture in a zip; its header is read before its content


class UnreadableFile(Exception):
    """Why a file cannot be read; the text is the reason alone."""

    @property
    def reason(self) -> str:
        """As an `UnreadableImage` has it."""
        return str(self)


@dataclass(frozen=True)
class Images:
    """Pictures by row, read one at a time.

    Attributes:
        place: what `images=` said.
        names: what each is called: a path below the folder or in the zip; each once.
        ids: `image_id` of each: the table's, or file names without their ending where these are
            all different, else the names.
        by_stem: whether a file's name alone says which picture is meant.
        passed_over: files that are no pictures by their ending, and folders that are not searched,
            each by its path; hidden ones apart.
    """

    place: str
    names: Sequence[str]
    ids: Sequence[str]
    by_stem: bool
    passed_over: Sequence[str] = ()
    _files: Sequence[Path] = ()
    _archive: zipfile.ZipFile | None = None
    _members: Sequence[zipfile.ZipInfo] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def source(self, row: int) -> str | bytes:
        """A path, or the bytes of a member of the zip, which is never unpacked to the disk.

        Raises:
            UnreadableFile: a member that is damaged, encrypted or too large.
        """
        if self._archive is None:
            return str(self._files[row])
        member = self._members[row]
        if member.file_size > _MEMBER_LIMIT:
            raise UnreadableFile(
                f"{member.file_size:,} bytes unpacked are more than the limit of {_MEMBER_LIMIT:,}"
            )
        try:
            with self._archive.open(member) as file:
                return file.read(_MEMBER_LIMIT)
        except Exception as error:  # zlib.error, BadZipFile, RuntimeError (encrypted), ...
            raise UnreadableFile(f"cannot be unpacked ({first_line(error)})") from None

    def file(self, row: int) -> str | None:
        """Path of a picture; None in a zip."""
        return str(self._files[row]) if self._archive is None else None

    @classmethod
    def listed(
        cls,
        place: str,
        rows: Sequence[int],
        names: Sequence[str],
        ids: Sequence[str],
        files: Sequence[str | None],
    ) -> "Images":
        """Some of the pictures of a place, as another process listed them.

        Args:
            place: that `open_images` was given.
            rows: of the pictures in that place.
            names, ids, files: of each; no file where the place is a zip, which is opened here.
        """
        if files and files[0] is None:
            whole = _listing(place, _stamp(place))
            where = {"_archive": whole._archive, "_members": [whole._members[row] for row in rows]}
        else:
            where = {"_files": [Path(file) for file in files]}
        return cls(place, names, ids, False, **where)

    def fingerprint(self) -> str:
        """Hash of names, sizes and dates: another one means other pictures."""
        digest = hashlib.blake2b(digest_size=16)
        for row, name in enumerate(self.names):
            digest.update(f"{name}\0{self._stamp(row)}\n".encode())
        return digest.hexdigest()

    def _stamp(self, row: int) -> str:
        if self._archive is not None:
            return f"{self._members[row].CRC} {self._members[row].file_size}"
        return _stamp(self._files[row])


@lru_cache(maxsize=1)
def _listing(place: str, stamp: str) -> Images:
    """A zip's pictures, listed once: a worker is given one part of it after another."""
    return open_images(place)


def _stamp(path: str | Path) -> str:
    """Size and date of a file: another one means another content."""
    try:
        stat = os.stat(path)
        return f"{stat.st_size} {stat.st_mtime_ns}"
    except OSError:
        return "absent"


def open_images(place: str | Path) -> Images:
    """Lists the pictures of a place, in an order that does not depend on the file system.

    What cannot be opened is listed, too (a link to nothing, a pipe, a folder that may not be
    searched): whoever reads it is told why.

    Args:
        place: a picture, a folder (searched to its depths), a pattern with * ? or [, a .csv or
            .parquet with a column of paths (relative ones from its folder) and perhaps one of ids,
            or a .zip.

    Raises:
        DermaSenseError: no such place, or no picture in it.
    """
    path, text = Path(place), str(place)
    if path.is_dir():
        names, others = _below(path)
        files = [path / name for name in names]
        return _images(text, names, files=files, passed_over=others, empty="in this folder")
    if path.is_file() and path.suffix.lower() in (".csv", ".parquet"):
        return _of_table(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return _of_zip(path)
    if path.is_file():
        return _images(text, [path.name], files=[path])
    if glob.has_magic(text):
        found = sorted(map(Path, glob.glob(text, recursive=True)))
        folders = {p for p in found if os.path.isdir(p)}
        files = [p for p in found if p not in folders]
        # A pattern with ** goes into them.
        others = [] if "**" in text else sorted(p.as_posix() for p in folders)
        names = [p.as_posix() for p in files]
        return _images(text, names, files=files, passed_over=others, empty="of this pattern")
    raise DermaSenseError(
        f"images={place}: no such file or folder; name a picture, a folder, a pattern such as "
        "'photos/*.jpg', a .csv with a column path, or a .zip."
    )


def _images(
    text: str,
    names: Sequence[str],
    *,
    empty: str = "here",
    ids: Sequence[str] | None = None,
    passed_over: Sequence[str] = (),
    **where: Any,
) -> Images:
    if not names:
        raise DermaSenseError(
            f"images={text}: there is no picture {empty} ({', '.join(PICTURES)}); name another "
            "place."
        )
    # The bytes of a name that is no UTF-8 are spelt out; the file is still opened by its own.
    names = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in names]
    stems = [PurePosixPath(name).stem for name in names]
    by_stem = len(set(stems)) == len(stems)
    chosen = ids or (stems if by_stem else names)
    where = {f"_{key}": each for key, each in where.items()}
    return Images(text, names, chosen, by_stem, passed_over, **where)


def _is_picture(name: str) -> bool:
    """By its ending."""
    return PurePosixPath(name).suffix.lower() in PICTURES


def _is_hidden(name: str) -> bool:
    """As those that macOS adds are."""
    return any(
        part.startswith((".", "__MACOSX")) and part != ".." for part in PurePosixPath(name).parts
    )


def _below(folder: Path) -> tuple[list[str], list[str]]:
    """Pictures, with folders that cannot be listed; other files, with links to folders."""
    pictures: list[str] = []
    others: list[str] = []

    def failed(error: OSError) -> None:
        if error.filename == str(folder):
            raise error
        pictures.append(Path(error.filename).relative_to(folder).as_posix())

    for above, folders, files in os.walk(folder, onerror=failed):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        inside = Path(above).relative_to(folder)
        for file in files:
            if not _is_hidden(file):
                (pictures if _is_picture(file) else others).append((inside / file).as_posix())
        links = (name for name in folders if os.path.islink(os.path.join(above, name)))
        others += [(inside / name).as_posix() for name in links]
    return sorted(pictures), sorted(others)


def _of_table(path: Path) -> Images:
    table = read_table(path, ())
    column = next((name for name in PATHS if name in table.columns), None)
    if column is None:
        raise DermaSenseError(
            f"{path}: has no column of paths ({', '.join(PATHS)}; "
            f"{nearest('path', table.columns)}); add one, or name the folder of the pictures."
        )
    paths = table[column].fillna("").tolist()
    key = next((name for name in IDS if name in table.columns and name != column), None)
    ids = None
    if key:  # an empty cell is None of a CSV, NaN of Parquet
        ids = [i if isinstance(i, str) else f"row {row + 2}" for row, i in enumerate(table[key])]
    for what, values in (("path", paths), (key, ids or [])):
        twice = next((value for value, n in Counter(values).items() if n > 1), None)
        if twice is not None:
            raise DermaSenseError(
                f"{path}: the {what} '{twice}' stands in more than one row; keep one row a picture."
            )
    return _images(
        str(path), paths, files=[path.parent / p for p in paths], ids=ids, empty="in this table"
    )


def _of_zip(path: Path) -> Images:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise DermaSenseError(
            f"{path}: not a readable zip ({first_line(error)}); fetch or pack it again."
        ) from None
    held = [m for m in archive.infolist() if not m.is_dir() and not _is_hidden(m.filename)]
    members = [m for m in held if _is_picture(m.filename)]
    others = sorted(m.filename for m in held if not _is_picture(m.filename))
    members.sort(key=lambda member: (member.filename, member.header_offset))
    seen: Counter[str] = Counter()
    names = []
    for member in members:  # a zip may hold one name twice
        seen[member.filename] += 1
        again = f" ({seen[member.filename]})" if seen[member.filename] > 1 else ""
        names.append(member.filename + again)
    where = {"archive": archive, "members": members}
    return _images(str(path), names, passed_over=others, empty="in this zip", **where)
