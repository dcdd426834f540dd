"""The one exception a person may cause, and the words that help them out of it."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class DermaSenseError(Exception):
    """A mistake that the user can mend. Its text says what was wrong, where, and what to do.

    Commands print the text alone and exit with code 2; library callers catch this class.
    """


def nearest(name: str, valid: Iterable[str], most: int = 3) -> str:
    """Words that point from a mistyped name to the valid ones, such as "did you mean 'focal'?"."""
    names = sorted(str(v) for v in valid)
    close = difflib.get_close_matches(str(name), names, n=most, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    return "valid: " + ", ".join(names)


def first_line(error: BaseException, most: int = 160) -> str:
    """What another library's error says, for a sentence: its first line, cut to `most` characters.

    An error without words is told by the name of its type.
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:most].rstrip()


def check_least(settings: Mapping[str, Any], least: Mapping[str, int]) -> None:
    """Refuses numbers that are too small.

    Args:
        settings: of a command, by option.
        least: the smallest value of each option that has one.

    Raises:
        DermaSenseError: naming the first of them.
    """
    for key, smallest in least.items():
        if settings[key] < smallest:
            raise DermaSenseError(f"{key}={settings[key]}: expected an integer >= {smallest}.")
