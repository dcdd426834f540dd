"""Your own images by a table: one row an image, with its path, label and perhaps group and more.

Class order: the labels sorted as text, or `class_names` as given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dermasense.data.catalog import REQUIRED, Catalog, own_groups, read_table, row_origins
from dermasense.data.sources.folder import NO_GROUPS
from dermasense.errors import DermaSenseError, nearest

COLUMNS = {"path": "path", "label": "label", "group": None, "image_id": None}
MISSING = ("", "unknown", "NA", "nan", "-1")


def catalog(
    root: str,
    file: str = "labels.csv",
    columns: Mapping[str, str | None] | None = None,
    attributes: Sequence[str] = (),
    class_names: Sequence[str] | None = None,
    missing: Sequence[str] = MISSING,
    evaluation_only: bool = False,
) -> Catalog:
    """Read a table of images.

    Args:
        root: folder that relative paths start from.
        file: the table, relative to `root` or absolute.
        columns: names of the columns for path, label, group and image_id. Where group or image_id
            is None, a column of that very name is taken if there is one; else each image is its
            own group, and its path is its id.
        attributes: further columns to keep (skin_type, sex, age, ...); where all values are
            numbers they become numbers.
        class_names: order of the classes; None takes the labels, sorted.
        missing: attribute values that mean "not known".
        evaluation_only: True keeps the images out of training.

    Raises:
        DermaSenseError: no such table or column, or an attribute with a reserved name.
    """
    folder = Path(root).absolute()
    table_file = folder / file
    if not table_file.is_file():
        raise DermaSenseError(
            f"data=csv: {table_file} does not exist; type data.root=<folder of the images> and "
            "data.file=<table>, with the columns path and label (or data.columns.path=... and "
            "data.columns.label=...)."
        )
    chosen = COLUMNS | dict(columns or {})
    for key in chosen.keys() - COLUMNS.keys():
        raise DermaSenseError(f"data.columns.{key} is unknown; {nearest(key, COLUMNS)}")
    reserved = [name for name in attributes if name in REQUIRED]
    if reserved:
        raise DermaSenseError(
            f"data.attributes: '{reserved[0]}' is a name that every catalog uses itself; rename "
            f"that column of {table_file.name}."
        )
    asked = [name for name in chosen.values() if name]
    table = read_table(table_file, [*asked, *attributes])
    for key in ("group", "image_id"):
        if chosen[key] is None and key in table.columns:
            chosen[key] = key
    paths, labels = table[chosen["path"]], table[chosen["label"]]
    ids = table[chosen["image_id"]] if chosen["image_id"] else paths
    groups = table[chosen["group"]] if chosen["group"] else pd.Series(pd.NA, table.index)
    frame = pd.DataFrame(
        {
            "image_id": ids,
            "path": ["" if pd.isna(p) else str(folder / p) for p in paths],
            "label": labels,
            "group": own_groups(groups, ids),
            "origin": row_origins(table_file, len(table)),
        }
    )
    for name in attributes:
        frame[name] = _values(table[name], missing)
    return Catalog(
        name="csv",
        frame=frame,
        class_names=tuple(map(str, class_names or sorted(labels.dropna().unique()))),
        attributes=tuple(attributes),
        licence="unknown: your own images",
        citation="",
        evaluation_only=evaluation_only,
        note="" if chosen["group"] or evaluation_only else NO_GROUPS,
    )


def _values(column: pd.Series, missing: Sequence[str]) -> pd.Series:
    """Numbers where every known value is one; else text; not known = missing."""
    known = column.where(~column.isin([str(m) for m in missing]))
    numbers = pd.to_numeric(known, errors="coerce")
    return numbers.astype("float64") if numbers.notna().equals(known.notna()) else known
