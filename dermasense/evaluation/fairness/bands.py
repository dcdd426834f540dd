"""From an attribute's values to groups: skin types by pairs, ages by twenties, words as they are.

A missing value is never a group: it is None here and -1 as a code.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from dermasense.errors import DermaSenseError, nearest
from dermasense.evaluation.predictions import attributes_of, refuse_unknown_attribute

ROMAN = ("I", "II", "III", "IV", "V", "VI")
# The bands in which skin types are reported: single types are noisier labels than pairs of them.
TONES = ("I-II", "III-IV", "V-VI")
_AGES = 20
_MOST_GROUPS = 20  # of an attribute; more words than that are a free text
# What people and tables write where they do not know.
_UNKNOWN = ("", "unknown", "unk", "nan", "none", "-1", "not available", "n/a")


def is_skin_type(name: str, column: pd.Series) -> bool:
    """Whether a column holds Fitzpatrick types 1 to 6: by its name and its values."""
    if not str(name).startswith(("skin_type", "fitzpatrick")):
        return False
    values = pd.to_numeric(column, errors="coerce").dropna()
    values = values[values != -1]
    return len(values) > 0 and bool((values.between(1, 6) & (values % 1 == 0)).all())


def skin_types(column: pd.Series) -> pd.Series:
    """Types as words, "I" to "VI"; None where missing (-1, empty)."""
    return _typed(column, ROMAN, np.arange(1, 7))


def tones(column: pd.Series) -> pd.Series:
    """Types in the bands of `TONES`; None where missing."""
    return _typed(column, TONES, np.array([1, 1, 2, 2, 3, 3]))


def banding(name: str, column: pd.Series) -> str:
    """How the values of an attribute become groups, one of `BANDINGS`.

    Args:
        name: of the attribute: skin types are told by it.
        column: its values; more than ten different numbers (ages) become bands "40 to 59".
    """
    if is_skin_type(name, column):
        return "tones"
    if pd.api.types.is_bool_dtype(column):
        return "yes or no"
    if pd.api.types.is_numeric_dtype(column):
        return "twenties" if column.nunique() > 10 else "numbers"
    return "words"


def banded(name: str, column: pd.Series, how: str | None = None) -> pd.Series:
    """The groups of any attribute, as words, None where missing.

    Args:
        name: of the attribute.
        column: its values.
        how: of `BANDINGS`; None: as :func:`banding` finds of these very values.

    Raises:
        DermaSenseError: another banding.
    """
    how = banding(name, column) if how is None else how
    if how not in BANDINGS:
        raise DermaSenseError(f"No banding {how} of {name}; {nearest(how, BANDINGS)}")
    return BANDINGS[how](column)


def banded_attributes(frame: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Each attribute of a table with the groups of its rows, as :func:`banded` tells them.

    One of which no value is known is left out, and one of more than twenty words (a free text).
    """
    for name in attributes_of(frame):
        words = banded(name, frame[name])
        if 0 < words.nunique() <= _MOST_GROUPS:
            yield name, words


def codes(name: str, column: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Group number of each row, int64 (n,), -1 where missing, and the names of the groups."""
    words = banded(name, column)
    found, names = pd.factorize(words, sort=True)
    return found.astype(np.int64), tuple(str(each) for each in names)


def attribute_codes(
    frame: pd.DataFrame, attribute: str, wanted_by: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`codes` of an attribute that a method cannot do without.

    Args:
        frame: the rows.
        attribute: its column.
        wanted_by: the option that asks, for messages.

    Raises:
        DermaSenseError: no such attribute, or fewer than two groups in it.
    """
    refuse_unknown_attribute(frame, attribute, wanted_by)
    found, names = codes(attribute, frame[attribute])
    if len(names) < 2:
        raise DermaSenseError(
            f"{wanted_by}: the attribute '{attribute}' has {len(names)} groups among "
            f"{len(frame)} images; take an attribute with two or more."
        )
    return found, names


def _yes_or_no(column: pd.Series) -> pd.Series:
    return _with_gaps(column.map({True: "yes", False: "no"}), column.index)


def _twenties(column: pd.Series) -> pd.Series:
    low = (np.floor(_numbers(column) / _AGES) * _AGES).astype(int)
    return _with_gaps(low.map(lambda start: f"{start} to {start + _AGES - 1}"), column.index)


def _as_numbers(column: pd.Series) -> pd.Series:
    return _with_gaps(_numbers(column).map(lambda value: f"{value:g}"), column.index)


def _as_words(column: pd.Series) -> pd.Series:
    words = column[column.notna()].astype(str).str.strip()
    return _with_gaps(words[~words.str.lower().isin(_UNKNOWN)], column.index)


def _numbers(column: pd.Series) -> pd.Series:
    """Those that are known, as floats."""
    values = pd.to_numeric(column, errors="coerce")
    return values[values.notna() & (values != -1)].astype(float)


def _typed(column: pd.Series, words: Sequence[str], place: np.ndarray) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce")
    known = values[values.between(1, 6)].astype(int)
    place = place - place.min()
    return _with_gaps(known.map(lambda value: words[place[value - 1]]), column.index)


def _with_gaps(words: pd.Series, index: pd.Index) -> pd.Series:
    full = words.astype(object).reindex(index)
    return full.where(full.notna(), None)


BANDINGS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "tones": tones,
    "yes or no": _yes_or_no,
    "twenties": _twenties,
    "numbers": _as_numbers,
    "words": _as_words,
}
