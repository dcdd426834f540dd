"""Tables that people bring: CSV of any separator and encoding, or Parquet, always read as text.

No type is guessed, no row is dropped and none is shifted: each row keeps the number that a
spreadsheet shows for it.
"""

import csv
import io
import os
from collections.abc import Iterable

import pandas as pd

from dermasense.data.regular_file import open_regular, reason_of
from dermasense.errors import DermaSenseError, first_line, nearest

SEPARATORS = ",;\t|"
PARQUET = b"PAR1"
# What programs write where they know nothing: no class and no lesion.
NOTHING = ("nan", "NaN", "None", "null", "NULL", "<NA>", "NA", "N/A", "n/a", "#N/A")


def read_table(file: str | os.PathLike[str], columns: Iterable[str]) -> pd.DataFrame:
    """Read a CSV or Parquet table as text and check its columns.

    Empty cells are missing; blanks around a cell are not part of it. The separator is the one of
    comma, semicolon, tab and bar that the header has most of; the encoding is UTF-8 or UTF-16
    where the bytes are, else Windows-1252.

    Args:
        file: the table.
        columns: names that it must have.

    Raises:
        DermaSenseError: no such file, no table, a row with more or fewer cells than the header, a
            column that it lacks, or any named column that stands twice.
    """
    try:
        with open_regular(file) as stream:
            data = stream.read()
    except (OSError, ValueError) as error:
        raise DermaSenseError(f"{file}: {reason_of(error)}; name a CSV or Parquet table.") from None
    table = _parquet(file, data) if data.startswith(PARQUET) else _csv(file, data)
    for column in columns:
        if column not in table.columns:
            help_ = nearest(column, table.columns)
            raise DermaSenseError(f"{file}: has no column '{column}'; {help_}")
    # Of all columns: some are taken by their very name where nobody asks for them.
    for column in table.columns[table.columns.duplicated()]:
        if column:
            raise DermaSenseError(f"{file}: has two columns '{column}'; rename or remove one.")
    return table


def row_origins(file: str | os.PathLike[str], rows: int) -> list[str]:
    """Names such as "name.csv row 2", counted as a spreadsheet does: the header is row 1."""
    name = os.path.basename(file)
    return [f"{name} row {i + 2}" for i in range(rows)]


def _csv(file: str | os.PathLike[str], data: bytes) -> pd.DataFrame:
    text = _decoded(file, data)
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    try:
        for cells in reader:
            rows.append([cell.strip() for cell in cells])
    except csv.Error as error:
        raise DermaSenseError(
            f"{file}: cannot be read as CSV (row {len(rows) + 1}: {error}); look for a quotation "
            "mark without its other half."
        ) from None
    while rows and not any(rows[-1]):  # what a spreadsheet leaves below its last row
        rows.pop()
    if not rows:
        raise DermaSenseError(f"{file}: cannot be read as CSV (it is empty).")
    width = len(rows[0])
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cells):  # kept, so that it is reported and the rows below keep their numbers
            cells[:] = [""] * width
        if len(cells) != width:
            raise DermaSenseError(
                f"{file} row {number}: has {len(cells)} cells where the header has {width}; mend "
                f"the row, or quote cells that contain '{separator}'."
            )
    table = pd.DataFrame(rows[1:], columns=rows[0], dtype=object)
    return table.mask(table == "", None)


def _decoded(file: str | os.PathLike[str], data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "cp1252", "latin-1")  # the last one takes any bytes
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise DermaSenseError(
        f"{file}: cannot be read as CSV (it is no text); save it as CSV in UTF-8."
    )


def _separator(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    outside = "".join(header.split('"')[::2])
    return max(SEPARATORS, key=outside.count)


def _parquet(file: str | os.PathLike[str], data: bytes) -> pd.DataFrame:
    try:
        table = pd.read_parquet(io.BytesIO(data))
    except Exception as error:  # pyarrow raises what it likes on damaged files
        raise DermaSenseError(f"{file}: cannot be read as Parquet ({first_line(error)}).") from None
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    texts = {str(name): _text(table.iloc[:, i]) for i, name in enumerate(table.columns)}
    return pd.DataFrame(texts, dtype=object)


def _text(column: pd.Series) -> pd.Series:
    """Cells as a CSV would show them: 7.0 of a column of whole numbers is "7"."""
    values = column.astype(object)
    missing = values.isna().to_numpy()
    if pd.api.types.is_float_dtype(column.dtype) and (column.dropna() % 1 == 0).all():
        values = column.astype("Int64").astype(object)
    text = values.map(lambda value: str(value).strip())
    return text.mask(missing | (text == "").to_numpy(), None).reset_index(drop=True)
