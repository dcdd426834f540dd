"""A table of results that several runs of a script write to, each its own rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dermasense.files import read_csv, write_csv


def write_beside(
    path: Path, rows: Sequence[Mapping], columns: Sequence[str], same: Sequence[str]
) -> None:
    """Writes rows after those that stand there; one that equals a new one in all of `same` goes."""

    def key(row: Mapping) -> tuple[str, ...]:
        return tuple(str(row[column]) for column in same)

    new = {key(row) for row in rows}
    stay = [row for row in read_csv(path, missing_ok=True) if key(row) not in new]
    write_csv(path, [*stay, *rows], columns)
