"""Several catalogs as one, without one picture or lesion standing in it under two names.

An image_id that stands in two catalogs is written <name>/<image_id> in both. Where it is no file
name, it is taken for the same picture; so are files of the same bytes; and a group name in two
catalogs is the same lesion (unless `shared_groups` is False). The groups of such pictures are
joined, so that no split parts them.
"""

import os
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from dermasense.data.catalog import LESIONS, NAMED, REQUIRED, SOME_KNOWN, Catalog, without_group
from dermasense.data.class_map import refuse_strangers
from dermasense.data.row_file import in_threads
from dermasense.data.store import ABSENT, file_digest
from dermasense.errors import DermaSenseError

GIVEN = ("split", "fold")  # columns of tables that bring a split of their own
SOURCE = "source"


def combine(
    parts: Mapping[str, Catalog],
    class_names: tuple[str, ...] | None = None,
    *,
    shared_groups: bool = True,
    place: str = "data.sources.",
) -> Catalog:
    """One catalog of all rows, those of the first first.

    Args:
        parts: catalogs by a short name each.
        class_names: the classes, in order; None takes those of the first.
        shared_groups: False where the same group name in two catalogs is another lesion.
        place: the options of a part, without its name, for messages.

    Returns:
        The rows with the attributes of all (missing where a part has none) and the attribute
        `source`, the part's name.

    Raises:
        DermaSenseError: no parts, or labels that are no class, named with their source.
    """
    if not parts:
        raise DermaSenseError(f"{place.rstrip('.')}: name at least one source.")
    first = next(iter(parts.values()))
    classes = class_names or first.class_names
    for name, part in parts.items():
        refuse_strangers(part, classes, f"{place}{name}")
    attributes = list(dict.fromkeys(a for part in parts.values() for a in part.attributes))
    if SOURCE not in attributes:
        attributes.append(SOURCE)
    given = [c for c in GIVEN if any(c in part.frame.columns for part in parts.values())]
    columns = [*REQUIRED, *attributes, *given]
    frames = [_frame(name, part, columns) for name, part in parts.items()]
    frame = pd.concat([_alike(f, frames) for f in frames], ignore_index=True)
    part_of = pd.Series([name for name, f in zip(parts, frames, strict=True) for _ in f.index])
    same = _same_pictures(frame, part_of)
    own = without_group(frame)
    frame["group"] = _joined(_parted(frame["group"], part_of, own | (not shared_groups)), same)
    frame["image_id"] = _parted(frame["image_id"], part_of, pd.Series(True, frame.index))
    notes = dict.fromkeys(p.note for p in parts.values() if p.note and not p.evaluation_only)
    return Catalog(
        name="+".join(dict.fromkeys(part.name for part in parts.values())),
        frame=frame,
        class_names=tuple(classes),
        attributes=tuple(attributes),
        licence=_all(part.licence for part in parts.values()),
        citation=_all(part.citation for part in parts.values()),
        evaluation_only=any(part.evaluation_only for part in parts.values()),
        note="; ".join(notes),
        groups_are=_together({part.groups_are for part in parts.values()}),
    )


def with_test_set(catalog: Catalog, test: Catalog, *, shared_groups: bool = True) -> Catalog:
    """A catalog whose test split is another one: its frame has a column `split`, "test" there.

    Raises:
        DermaSenseError: labels of either that are no class of the catalog.
    """
    refuse_strangers(catalog, catalog.class_names, "data")
    name = catalog.name if catalog.name != "test" else "train"
    both = combine(
        {name: catalog, "test": test},
        catalog.class_names,
        shared_groups=shared_groups,
        place="split.",
    )
    frame = both.frame.drop(columns=[c for c in GIVEN if c in both.frame.columns])
    frame["split"] = [None] * len(catalog.frame) + ["test"] * len(test.frame)
    return replace(
        both,
        name=catalog.name,
        frame=frame,
        licence=catalog.licence,
        citation=catalog.citation,
        evaluation_only=catalog.evaluation_only,
        note="; ".join(n for n in (catalog.note, f"tested on a set of its own: {test.name}") if n),
    )


def _frame(name: str, part: Catalog, columns: list[str]) -> pd.DataFrame:
    frame = part.frame.copy()
    if SOURCE not in frame.columns:
        frame[SOURCE] = name
    frame["origin"] = f"{name}: " + frame["origin"].astype(str)
    return frame.reindex(columns=columns).reset_index(drop=True)


def _alike(frame: pd.DataFrame, frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The columns that are text in one part as text in all: a table file takes no mixture."""
    frame = frame.copy()
    for column in frame.columns:
        known = [f[column].dropna() for f in frames]
        if not all(pd.api.types.is_numeric_dtype(k) for k in known if len(k)):
            texts = frame[column].astype(object)
            frame[column] = texts.where(texts.isna(), texts.map(str)).where(texts.notna(), None)
    return frame


def _parted(names: pd.Series, part_of: pd.Series, told_apart: pd.Series) -> pd.Series:
    """Names that stand in two parts, where they are to be told apart, as <part>/<name>."""
    parts = part_of.groupby(names).nunique()
    twice = names.isin(parts.index[parts > 1]) & told_apart
    return names.mask(twice, part_of + "/" + names.astype(str))


def _same_pictures(frame: pd.DataFrame, part_of: pd.Series) -> list[list[int]]:
    """Positions of rows that show the same picture, of more than one part."""
    ends = zip(frame["path"], frame["image_id"], strict=True)
    is_name = [str(path).endswith(str(name)) for path, name in ends]
    ids = frame["image_id"].mask(pd.Series(is_name))
    sizes = pd.Series([_size(path) for path in frame["path"]])
    shared = part_of.groupby(sizes).nunique()
    look = frame.index[sizes.isin(shared.index[shared > 1])]
    digests = pd.Series(None, frame.index, dtype=object)
    for i, digest in zip(look, in_threads(file_digest, frame["path"].iloc[look]), strict=True):
        digests[i] = None if digest == ABSENT else digest.hex()
    found = []
    for keys in (ids, digests):
        known = keys.dropna()
        spread = part_of[known.index].groupby(known).nunique()
        twice = known[known.isin(spread.index[spread > 1])]
        found += [rows.tolist() for rows in twice.groupby(twice).groups.values()]
    return found


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return None


def _joined(groups: pd.Series, same: list[list[int]]) -> pd.Series:
    """Groups joined where they hold the same picture, named after the first by the alphabet."""
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while name in root:
            name = root[name]
        return name

    for rows in same:
        names = sorted({find(group) for group in groups.iloc[rows]})
        root |= dict.fromkeys(names[1:], names[0])
    return groups.map(find) if root else groups


def _together(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return kinds.pop()
    return NAMED if kinds == {LESIONS, NAMED} else SOME_KNOWN


def _all(texts) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))
