"""The publishers' tables, read as text: comma, semicolon or tab, with or without a byte mark."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dermasense.data.fetch.source import Entry, Source, readable
from dermasense.errors import DermaSenseError, nearest

_DELIMITERS = (",", "\t", ";")


@dataclass(frozen=True)
class Table:
    """Rows of one table; `name` is the file, for messages."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    def origin(self, position: int) -> str:
        """Such as "labels.csv row 2", counted as a spreadsheet does."""
        return f"{self.name} row {position + 2}"


def find_table(source: Source, patterns: Sequence[str], columns: Sequence[str]) -> Table | None:
    """The table whose name fits a pattern (in lower case, the best first) and that has the columns.

    A name is asked for, since the tables of HAM10000 and of its test set have equal columns.

    Raises:
        DermaSenseError: two tables fit equally, or the table cannot be read.
    """
    for pattern in patterns:
        named = [e for e in source.tables if fnmatchcase(e.base.lower(), pattern)]
        named = [e for e in named if set(columns) <= set(header(e))]
        if len({entry.size for entry in named}) > 1:
            names = " and ".join(entry.name for entry in named[:3])
            raise source.refuse(f"{names} could each be the table; leave one of them out")
        if named:
            return read_table(named[0])
    return None


def need_table(source: Source, patterns: Sequence[str], columns: Sequence[str], name: str) -> Table:
    """As `find_table`, of which there must be one; `name` says it to the person.

    Raises:
        DermaSenseError: there is none.
    """
    table = find_table(source, patterns, columns)
    if table is None:
        raise source.refuse(f"holds no {name} with the columns {', '.join(columns)}")
    return table


def header(entry: Entry) -> tuple[str, ...]:
    """The first line's cells; empty where it is no text."""
    with readable(entry.name), entry.open() as handle:
        first = handle.readline(1 << 16)
    try:
        line = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return ()
    cells = next(csv.reader([line], delimiter=_delimiter(line)), [])
    return tuple(cell.strip() for cell in cells)


def read_table(entry: Entry) -> Table:
    """All rows as text, cells stripped.

    Raises:
        DermaSenseError: not text, no CSV, no rows, or a row of another length; says which.
    """
    with readable(entry.name), entry.open() as handle:
        raw = handle.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DermaSenseError(f"{entry.name}: is not UTF-8 text; save it as UTF-8.") from None
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text.split("\n", 1)[0]))
    try:
        cells = [[cell.strip() for cell in line] for line in lines if line]
    except csv.Error as error:
        raise DermaSenseError(
            f"{entry.name}: cannot be read as CSV (line {lines.line_num}: {error}); look for a "
            "quotation mark without its other half, or get the file again."
        ) from None
    if len(cells) < 2:
        raise DermaSenseError(f"{entry.name}: has no rows.")
    columns = tuple(cells[0])
    rows = []
    for number, row in enumerate(cells[1:], start=2):
        if len(row) != len(columns):
            raise DermaSenseError(
                f"{entry.name} row {number}: has {len(row)} cells where the header has "
                f"{len(columns)}; mend the row or get the file again."
            )
        rows.append(dict(zip(columns, row, strict=True)))
    return Table(entry.base, columns, tuple(rows))


def one_hot(table: Table, codes: Iterable[str]) -> list[str]:
    """The class of each row of a challenge's ground truth: the one column that says 1.

    Raises:
        DermaSenseError: a row with no class, several, or something that is no number.
    """
    codes = tuple(codes)
    labels = []
    for position, row in enumerate(table.rows):
        try:
            ones = [code for code in codes if float(row[code]) == 1]
        except ValueError:
            ones = []
        if len(ones) != 1:
            raise DermaSenseError(
                f"{table.origin(position)}: {len(ones)} of the columns {', '.join(codes)} say 1 "
                "where one should; get the file again."
            )
        labels.append(ones[0])
    return labels


def check_labels(table: Table, column: str, classes: Sequence[str]) -> None:
    """Every row has one of the classes.

    Raises:
        DermaSenseError: one that has not, by its row.
    """
    for position, row in enumerate(table.rows):
        if row[column] not in classes:
            raise DermaSenseError(
                f"{table.origin(position)}: {column} is '{row[column]}', which is no class of this "
                f"data set; {nearest(row[column], classes)}"
            )


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)
