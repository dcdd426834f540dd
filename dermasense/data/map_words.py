"""How other names for classes are typed: on the command line, or in a table where it takes none."""

import re
from collections.abc import Mapping

# Names that Hydra's grammar gives back as they were typed, once these signs are escaped. Names of
# other letters, with quotation marks, or that look like another number or value cannot be typed.
ESCAPED = re.compile(r"[(){}\[\]:=,]")
TYPED = re.compile(r"[A-Za-z_][\w /+.\-(){}\[\]:=,]*(?<! )|0|[1-9]\d*", re.ASCII)
VALUES = ("null", "true", "false", "nan", "inf")
COLUMNS = ("label", "class")
UNKNOWN = "<class>"  # to be filled in


def how_to_map(place: str, names: Mapping[str, str | None]) -> str:
    """The words that give these labels these classes, for the end of a sentence.

    Args:
        place: the options of the data, such as "data" or "split.test".
        names: class by label; None leaves the label out, UNKNOWN is to be filled in.
    """
    new = [name for name in names.values() if name not in (None, UNKNOWN)]
    if all(TYPED.fullmatch(name) and name.lower() not in VALUES for name in [*names, *new]):
        pairs = ", ".join(f"{_escaped(old)}: {_escaped(to)}" for old, to in names.items())
        return f"'{place}.map={{{pairs}}}'"
    rows = "; ".join(f"{old},{to or ''}" for old, to in names.items())
    return f"{place}.map=FILE.csv, a table with the columns {' and '.join(COLUMNS)} (rows: {rows})"


def alike(name: str) -> str:
    """What is left of a class name where case, blanks, hyphens and the like do not count."""
    return re.sub(r"[\W_]", "", name.casefold())


def nearest_classes(labels: list[str], class_names: tuple[str, ...]) -> dict[str, str]:
    """The class that a label is but for case and signs; UNKNOWN where there is none."""
    known = {alike(name): name for name in class_names}
    return {label: known.get(alike(label), UNKNOWN) for label in labels}


def _escaped(name: str | None) -> str:
    return "null" if name is None else ESCAPED.sub(r"\\\g<0>", name)
