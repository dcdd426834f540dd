"""From the rows of a table to images that are there, or one sentence on what is missing."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from dermasense.data.fetch.dataset import Item
from dermasense.data.fetch.source import PICTURES, Entry, Source

Row = Mapping[str, str]


def items(
    source: Source,
    rows: Sequence[Row],
    ids: Sequence[str],
    place: Callable[[Row, str], str],
    *,
    suffixes: tuple[str, ...] = PICTURES,
    absent: Collection[str] = (),
    lenient: bool = False,
    hint: str,
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """The picture of each row.

    Args:
        source: where the pictures are.
        rows: the rows as they will be written; one that has a "path" gets it filled in.
        ids: the picture's id, or file name, of each row.
        place: from a row and the picture's file name to its place below the root.
        suffixes: endings that the reader takes.
        absent: ids that the publisher lists without a picture: left out and said.
        lenient: True leaves out rows without a picture and repeated ones; False refuses them.
        hint: what to add where pictures are missing.

    Returns:
        The items, and sentences on what was left out.

    Raises:
        DermaSenseError: missing pictures, or an id that comes twice.
    """
    found, missing, twice, left_out = [], [], [], []
    seen: set[str] = set()
    for row, name in zip(rows, ids, strict=True):
        entry = source.picture(name, suffixes) if name else None
        if not name or name in seen:
            twice.append(name)
        elif entry is not None:
            target = place(row, _file_name(name, entry))
            found.append(Item({**row, "path": target} if "path" in row else row, target, entry))
        elif name in absent:
            left_out.append(f"{name}: the publisher lists it without an image")
        else:
            missing.append(name)
        seen.add(name)
    if twice and not lenient:
        raise source.refuse(f"the table names the image '{twice[0]}' twice, or not at all")
    if missing and (not lenient or not found):
        raise source.refuse(
            f"{len(missing):,} of the {len(rows):,} images that the table lists are not there "
            f"(first: {missing[0]}); {hint}"
        )
    for names, what in ((missing, "have no image here"), (twice, "repeat an image")):
        if names:
            left_out.append(f"{len(names):,} of {len(rows):,} rows {what} (first: {names[0]})")
    return tuple(found), tuple(left_out)


def _file_name(name: str, entry: Entry) -> str:
    """The id as the table spells it, with the picture's own ending in lower case."""
    ending = PurePosixPath(entry.base).suffix.lower()
    return name[: -len(ending)] + ending if name.lower().endswith(ending) else name + ending


def known(value: str, missing: Iterable[str] = ("", "unknown", "-1", "nan", "NA")) -> str:
    """The value, or an empty cell where it means that nobody knows."""
    return "" if value in tuple(missing) else value
