"""A run's scalars as a table that goes on where the run does, as Lightning's does not."""

import time
from collections.abc import Mapping
from pathlib import Path

from dermasense.errors import DermaSenseError
from dermasense.files import read_csv, write_csv

SECONDS = 30  # between two writings inside an epoch: each writes the whole table


class CsvLog:
    """Writes `metrics.csv`: a row of scalars a call, each with its `step`.

    It has what is used of Lightning's loggers. A kill loses the rows of `SECONDS`. Of a run that
    goes on, the rows from the first step that is logged again are those of the process that was
    cut, and give way.

    Args:
        folder: where the file lies.

    Raises:
        DermaSenseError: the file there is no table of rows with steps.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.csv"
        self._before, self._rows = read_csv(self.path, missing_ok=True), []
        self._written = time.monotonic()
        for number, row in enumerate(self._before, 2):
            if None in row or not str(row.get("step")).isdecimal():
                raise DermaSenseError(
                    f"{self.path}, line {number}: no row with a step; mend it, or move the file "
                    "elsewhere."
                )

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Adds a row; steps do not fall, and one may come twice."""
        if not self._rows:
            self._before = [row for row in self._before if int(row["step"]) < step]
        self._rows.append({**metrics, "step": step})
        if time.monotonic() - self._written > SECONDS:
            self.save()

    def save(self) -> None:
        """Writes all rows."""
        rows = [*self._before, *self._rows]
        if rows:
            write_csv(self.path, rows, sorted({key for row in rows for key in row}))
        self._written = time.monotonic()

    def finalize(self, status: str) -> None:
        """Writes all rows of a run that ends or is interrupted."""
        self.save()
