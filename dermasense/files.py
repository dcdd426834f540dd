"""Writing files so that a reader never meets half of one: temporary name, flush to disk, rename."""

import contextlib
import csv
import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError, first_line

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
ABANDONED = 3600  # seconds
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell that is computed begins with
_NO_ROOM = 64 * 1024  # bytes: a disk with less is full for any of our files


def why_refused(error: Exception, place: str | Path) -> str | None:
    """What a person can do about a file that cannot be written or read; None: no disk's fault.

    Args:
        error: what the writer raised. torch and safetensors tell of a full disk in words of their
            own, so the room that is left decides.
        place: the file or its folder.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in _FORBIDDEN and os.path.isfile(place) and not os.access(place, os.R_OK):
        return f"{place}: this user may not read it; have its owner allow it (chmod a+r)."
    if number in _FORBIDDEN:
        return f"{place}: {error.strerror}; take a place that this user may read and write."
    if number in _NO_FOLDER and not os.path.isdir(place):
        return f"{place} is, or lies in, a file; name another folder with out=..."
    if number in _FULL or (number is None and _room(Path(place)) < _NO_ROOM):
        return (
            f"{place}: no space is left on its disk. Make some and type the command again, or "
            "resume=<run folder>: what is finished stays."
        )
    return None


def _room(place: Path) -> float:
    try:
        return shutil.disk_usage(place if place.is_dir() else place.parent).free
    except OSError:
        return float("inf")


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary file beside `path`, then renames it into place.

    A failure leaves the former file as it was, and no temporary file. Who may read it is what the
    umask says, also where `write` makes files for their owner alone, as safetensors does.

    Raises:
        DermaSenseError: where the disk is full, or the place is not to be written or in a file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # of a killed process of this number
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        os.chmod(temporary, mode)
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except DermaSenseError:
        raise
    except Exception as error:
        if sentence := why_refused(error, path):
            raise DermaSenseError(sentence) from error
        raise
    finally:
        with contextlib.suppress(NotADirectoryError):
            temporary.unlink(missing_ok=True)


def refuse_to_write_over(inputs: Iterable[str | Path | None], outputs: Iterable[Path]) -> None:
    """Refuses a command whose outputs would replace what it reads.

    Args:
        inputs: files that it reads, by whatever name or link; None for one that is not given.
        outputs: files that it will write or remove.

    Raises:
        DermaSenseError: naming the first of them.
    """
    lost = {os.path.realpath(file) for file in outputs}
    for file in inputs:
        if file is not None and os.path.realpath(file) in lost:
            raise DermaSenseError(
                f"{file} is read, and would be written over by what the command writes; name "
                "another folder with out=..."
            )


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Removes folders that killed processes left: those in which nothing was made for an hour."""
    for place in folder.glob(pattern):
        inside = (each for each in place.rglob("*") if each.is_dir())
        with contextlib.suppress(FileNotFoundError):  # its owner goes on, and moved it
            latest = max(each.stat().st_mtime for each in (place, *inside))
            if time.time() - latest > ABANDONED:
                shutil.rmtree(place, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (no NaN) atomically, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        DermaSenseError: it holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DermaSenseError(f"{path} is damaged: no JSON ({first_line(error)}).") from None


def read_yaml(path: Path) -> Any:
    """The plain value of a YAML file.

    Raises:
        DermaSenseError: it holds no YAML, or asks for code.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where yaml has it
    try:
        return yaml.load(path.read_text(encoding="utf-8"), loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DermaSenseError(f"{path} is damaged: no YAML ({first_line(error)}).") from None


def safe_name(text: str) -> str:
    """A file name that any file system takes: letters, digits, "-", "_" and "." of the text.

    Anything else is a "_", and no dot stands at an end; of dots alone nothing is left.
    """
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text).strip(".")


def safe_names(texts: Iterable[str], *, empty: str, taken: Iterable[str] = ()) -> list[str]:
    """A :func:`safe_name` of each text, at most 120 characters; each once, whatever its case.

    Args:
        texts: what is named.
        empty: name of a text of which nothing is left.
        taken: names that are given already.
    """
    given = {each.casefold() for each in taken}
    names = []
    for text in texts:
        plain = safe_name(text)[:120] or empty
        name, number = plain, 1
        while name.casefold() in given:
            number += 1
            name = f"{plain}_{number}"
        given.add(name.casefold())
        names.append(name)
    return names


def for_spreadsheet(text: str) -> str:
    """A text that a spreadsheet takes for text: one that it would take for a formula gets a '.

    So does one of such a text behind ' already, that :func:`from_spreadsheet` gives back any text.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def from_spreadsheet(cell: str) -> str:
    """The text that :func:`for_spreadsheet` was given."""
    marked = cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA)
    return cell[1:] if marked else cell


def spreadsheet_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose texts no spreadsheet takes for formulas; what is no text stays as it is."""
    return {k: for_spreadsheet(v) if isinstance(v, str) else v for k, v in row.items()}


def read_csv(path: Path, *, missing_ok: bool = False) -> list[dict[str, str]]:
    """The rows of a CSV file with a header; none where there is no file, if that is allowed."""
    if missing_ok and not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def write_csv(path: Path, rows: Iterable[dict[str, Any]], columns: list[str]) -> None:
    """Writes rows atomically as CSV with a header, missing values empty."""

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)
