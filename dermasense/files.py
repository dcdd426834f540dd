"""Writing files so that a reader never meets half of one: temporary name, flush to disk, rename."""

import csv
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary path beside `path`, then renames it into place.

    A failure leaves the former file as it was, and no temporary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (no NaN) atomically, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def safe_name(text: str) -> str:
    """A file name that any file system takes: letters, digits, "-", "_" and "." of the text.

    Anything else is a "_", and no dot stands at an end; of dots alone nothing is left.
    """
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text).strip(".")


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
