"""The one exception a person may cause, and the words that help them out of it."""

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
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


def check_options(
    group: str,
    options: Mapping[str, Any],
    taker: Callable[..., Any],
    given: Collection[str] = (),
) -> None:
    """Holds the names of options, such as those of a person's own yaml, against a signature.

    Args:
        group: where the configuration has them.
        options: by name.
        taker: what is called with them; its keyword-only arguments are the options.
        given: those of them that the program gives itself.

    Raises:
        DermaSenseError: an option that there is not, or that is missing and has no default.
    """
    arguments = inspect.signature(taker).parameters.values()
    taken = [a for a in arguments if a.kind is a.KEYWORD_ONLY and a.name not in given]
    names = [a.name for a in taken]
    for option in options:
        if option not in names:
            raise DermaSenseError(f"{group}.{option} is no option; {nearest(option, names)}")
    for argument in taken:
        if argument.default is argument.empty and argument.name not in options:
            raise DermaSenseError(f"{group}.{argument.name} is missing: set it.")


def check_choice(option: str, value: object, valid: Iterable[str]) -> None:
    """Refuses a value that is none of the valid ones.

    Raises:
        DermaSenseError: naming the option, and the nearest valid values.
    """
    if value not in (names := tuple(valid)):
        raise DermaSenseError(f"{option}={value} is unknown; {nearest(str(value), names)}")
