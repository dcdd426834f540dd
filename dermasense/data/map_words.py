"""How other names for classes are typed: on the command line, or in a table where it takes none."""

import csv
import io
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
    rows = "; ".join(_row(old, to or "") for old, to in names.items())
    return f"{place}.map=FILE.csv, a table with the columns {' and '.join(COLUMNS)} (rows: {rows})"


def alike(name: str) -> str:
    """What is left of a class name without case, blanks, hyphens and the like; + < > count."""
    return re.sub(r"[^\w+<>]|_", "", name.casefold())


def nearest_classes(labels: list[str], class_names: tuple[str, ...]) -> dict[str, str]:
    """The one class that a label is but for case, else but for signs; UNKNOWN where none is."""
    return {label: _nearest_class(label, class_names) for label in labels}


def _nearest_class(label: str, class_names: tuple[str, ...]) -> str:
    for reduced in (but_for_case, alike):
        wanted = reduced(label)
        found = [name for name in class_names if reduced(name) == wanted]
        if wanted and len(found) == 1:
            return found[0]
    return UNKNOWN


def but_for_case(name: str) -> str:
    """What is left of a class name where case and blanks at the ends do not count."""
    return name.strip().casefold()


def _row(*cells: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _escaped(name: str | None) -> str:
    return "null" if name is None else ESCAPED.sub(r"\\\g<0>", name)
