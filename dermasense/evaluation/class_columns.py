"""Which columns of another tool's table are classes, and what they say, as logits."""

import re
from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import (
    PREFIX,
    PROBABILITY_PREFIX,
    SUM_TOLERANCE,
    refuse_probabilities,
)

# Another tool's 0 is a rounded number, whose log must be finite: it counts as this, or as half of
# the table's smallest probability where that is lower, so that it stays behind all others.
FLOOR = 1e-7


@dataclass(frozen=True)
class Classes:
    """The classes of a table.

    Attributes:
        names: the C classes, spelt as the labels are.
        logits: floats, shape (N, C); log-probabilities where probabilities were given.
        columns: what the C columns are called.
    """

    names: tuple[str, ...]
    logits: np.ndarray
    columns: list[str]


def read_classes(
    table: pd.DataFrame, labels: pd.Series, image_ids: pd.Series, reserved: Set[str]
) -> Classes:
    """Find the class columns and read them.

    Args:
        table: cells as text, one row an image.
        labels: the truth, shape (N,); each class of it must have its column. Without a prefix, the
            columns named after labels are classes, whatever they hold, and so are other columns of
            numbers.
        image_ids: shape (N,), for messages.
        reserved: columns that are something else.

    Raises:
        DermaSenseError: no such column, a class without one, a value that is no number or no
            probability, probabilities that do not add up to 1 or are called logits, or a column
            of which nobody can tell whether it is a class.
    """
    prefix, columns = _columns(table, {str(each).lower() for each in labels}, reserved)
    values = np.stack([_numbers(table[each]) for each in columns], axis=1)
    names = _spelt_as([each.removeprefix(prefix) for each in columns], labels, prefix)
    if prefix == PREFIX:
        refuse_probabilities(values)
        return Classes(names, values, columns)
    if not prefix:
        flags = [name not in set(labels) for name in names] & np.isin(values, (0, 1)).all(axis=0)
        _refuse_flags([each for each, flag in zip(columns, flags, strict=True) if flag])
    return Classes(names, _log(values, columns, image_ids), columns)


def _columns(table: pd.DataFrame, labels: set[str], reserved: Set[str]) -> tuple[str, list[str]]:
    """The prefix of the class columns, "" without one, and the columns."""
    for prefix in (PREFIX, PROBABILITY_PREFIX):
        columns = [c for c in table.columns if c.startswith(prefix)]
        if columns:
            return prefix, columns
    columns = [
        c
        for c in table.columns
        if c not in reserved
        and (c.lower() in labels or pd.to_numeric(table[c], errors="coerce").notna().any())
    ]
    if not columns:
        raise DermaSenseError(
            f"it has no column of probabilities; give one a class, named after it (or "
            f"{PREFIX}<class>); its columns are {', '.join(table.columns)}."
        )
    return "", columns


def _numbers(column: pd.Series) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        cell = column.iloc[bad[0]]
        shown = "empty" if pd.isna(cell) else f"'{cell}'"
        raise DermaSenseError(
            f"row {bad[0] + 2}, column {column.name} is {shown}, not a finite number ({len(bad)} "
            "such rows); mend or remove the row, or the column if it is no class."
        )
    return values


def _spelt_as(names: list[str], labels: pd.Series, prefix: str) -> tuple[str, ...]:
    """Class names as the labels spell them; every label must have its column."""
    spelt = {str(label).lower(): str(label) for label in labels.dropna()}
    whole = [re.sub(r"^(\d+)\.0+$", r"\1", name.lower()) for name in names]
    found = [spelt.get(each, name) for each, name in zip(whole, names, strict=True)]
    lacking = sorted(set(spelt.values()) - set(found))
    if lacking and len(names) == 1 and len(spelt) == 2:
        raise DermaSenseError(_one_of_two(names[0], found[0], sorted(spelt.values()), prefix))
    if lacking:
        carry = int((labels == lacking[0]).sum())
        raise DermaSenseError(
            f"there is no column for the class {lacking[0]}, which {carry} of its images have; its "
            f"class columns are {', '.join(found)}. Where its column of labels is not the truth, "
            "give that by labels=."
        )
    return tuple(found)


def _one_of_two(name: str, found: str, classes: list[str], prefix: str) -> str:
    """What to do about the one column of a model of two classes."""
    value = "0" if prefix == PREFIX else f"1 - {prefix}{name}"
    if found in classes:
        other = next(each for each in classes if each != found)
        return (
            f"it has a column for the class {found} and none for {other}; add a column "
            f"{prefix}{other} = {value}."
        )
    kind = prefix or PROBABILITY_PREFIX
    return (
        f"its one column of numbers, {prefix}{name}, is named after none of its labels "
        f"{classes[0]} and {classes[1]}; name it {kind}<class> after the one whose "
        f"{'logit' if prefix == PREFIX else 'probability'} it is, and add {kind}<the other> = "
        f"{value}."
    )


def _refuse_flags(columns: list[str]) -> None:
    if columns:
        raise DermaSenseError(
            f"the column {columns[0]} holds only 0 and 1 and is named after no label of its "
            f"images, so it may be no class; leave it out, or name the classes "
            f"{PROBABILITY_PREFIX}<class>."
        )


def _log(values: np.ndarray, columns: list[str], image_ids: pd.Series) -> np.ndarray:
    outside = np.argwhere((values < 0) | (values > 1))
    if len(outside):
        row, column = outside[0]
        percent = (values >= 0).all() and (np.abs(values.sum(axis=1) - 100) < 1).all()
        if percent:
            raise DermaSenseError(
                f"image {image_ids.iloc[row]} (row {row + 2}) has the value "
                f"{values[row, column]:g} and its row adds up to 100: these are percentages; "
                "divide them by 100."
            )
        raise DermaSenseError(
            f"image {image_ids.iloc[row]} (row {row + 2}) has the value {values[row, column]:g}, "
            f"which is no probability, in the column {columns[column]}; give numbers from 0 to 1, "
            f"or name the classes {PREFIX}<class> if they are logits, or "
            f"{PROBABILITY_PREFIX}<class> where that column is no class."
        )
    total = values.sum(axis=1)
    off = np.flatnonzero(np.abs(total - 1) > SUM_TOLERANCE)
    if len(off):
        raise DermaSenseError(
            f"the probabilities of image {image_ids.iloc[off[0]]} (row {off[0] + 2}) add up to "
            f"{total[off[0]]:.3g} instead of 1 ({len(off)} such rows), in the columns "
            f"{', '.join(columns)}; leave out what is no class, else divide each row by its sum, "
            f"or give {PREFIX}<class> columns."
        )
    with np.errstate(divide="ignore"):
        logs = np.log(values / total[:, None])
    lowest = min(np.log(FLOOR), logs[np.isfinite(logs)].min() - np.log(2))
    return np.where(np.isfinite(logs), logs, lowest)
