"""Which runs, in which order: `filter=data=ham10000,top1>0.8` and `sort=-balanced_accuracy`."""

import fnmatch
import re
from collections.abc import Sequence
from typing import Any

from dermasense.errors import DermaSenseError, nearest
from dermasense.overrides import flatten

_CONDITION = re.compile(r"\s*([\w.]+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*")
_WORDS = ("run", "kind", "time", "state", "reason", "name", "data", "backbone", "protocol", "leaky")
_NUMBERS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def cell(row: dict, key: str) -> Any:
    """A value of a run by name: a column, a metric (of the test split unless val_), an option."""
    if key in row:
        return row[key]
    if f"test_{key}" in row:
        return row[f"test_{key}"]
    return flatten(row["settings"]).get(key)


def chosen(rows: Sequence[dict], conditions: str | None) -> list[dict]:
    """The rows that meet all conditions.

    Args:
        rows: of `find_runs`.
        conditions: between commas, each `key=value`, `!=`, `<`, `<=`, `>` or `>=`. Words match
            with * and ?, alternatives stand between |. What a run has not meets `!=` alone.

    Raises:
        DermaSenseError: a condition that cannot be read, or a key that no run has.
    """
    kept = list(rows)
    for condition in (conditions or "").split(","):
        if not condition.strip():
            continue
        found = _CONDITION.fullmatch(condition)
        if not found:
            raise DermaSenseError(
                f"filter: {condition.strip()!r} cannot be read; write key=value, !=, <, <=, > or "
                ">=, such as filter='data=ham10000,top1>0.8'."
            )
        key, sign, value = found.groups()
        _refuse_unknown("filter", key, rows)
        kept = [row for row in kept if _meets(cell(row, key), sign, value)]
    return kept


def ordered(rows: Sequence[dict], key: str) -> list[dict]:
    """Rows by a key, "-key" from the largest on; those that have it not come last.

    Raises:
        DermaSenseError: a key that no run has.
    """
    name, down = key.removeprefix("-"), key.startswith("-")
    _refuse_unknown("sort", name, rows)
    known = [row for row in rows if cell(row, name) is not None]
    numbers = all(isinstance(cell(row, name), int | float) for row in known)

    def place(row: dict) -> tuple:
        value = cell(row, name)
        return (value if numbers else str(value), row["run"])

    rest = [row for row in rows if cell(row, name) is None]
    return [*sorted(known, key=place, reverse=down), *rest]


def _meets(value: Any, sign: str, wanted: str) -> bool:
    if value is None:
        return sign == "!="
    number = _number(wanted)
    if isinstance(value, int | float) and not isinstance(value, bool) and number is not None:
        return _NUMBERS[sign](value, number)
    words = str(value).lower()
    if sign in ("=", "!="):
        among = any(fnmatch.fnmatchcase(words, each.lower()) for each in wanted.split("|"))
        return among == (sign == "=")
    return _NUMBERS[sign](words, wanted.lower())  # times, which sort as words do


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _refuse_unknown(option: str, key: str, rows: Sequence[dict]) -> None:
    if not rows or key in _WORDS or any(cell(row, key) is not None for row in rows):
        return
    names = {name.removeprefix("test_") for row in rows for name in row} - {"path", "settings"}
    known = names | {name for row in rows for name in flatten(row["settings"])}
    if key not in known:
        raise DermaSenseError(f"{option}: no run has {key}; {nearest(key, known)}")
