"""Your own images by a table: one row an image, with its path, label and perhaps group and more.

Class order: the labels sorted as text, or `class_names` as given.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dermasense.data.catalog import (
    REQUIRED,
    Catalog,
    own_groups,
    read_table,
    row_origins,
    what_groups_are,
)
from dermasense.data.combine import GIVEN
from dermasense.data.links import Inside
from dermasense.data.sources.folder import NO_GROUPS
from dermasense.data.sources.picture_finder import PictureFinder
from dermasense.data.table_file import NOTHING
from dermasense.errors import DermaSenseError, nearest

log = logging.getLogger(__name__)
COLUMNS = {"path": "path", "label": "label", "group": None, "image_id": None}
COLUMNS |= dict.fromkeys(GIVEN)
THOUSANDS = r"[+-]?[1-9]\d{0,2},\d{3}"  # or a decimal comma
# Values of attributes and groups that mean "not known".
MISSING = (*NOTHING, "", "unknown", "-1")


def catalog(
    root: str,
    file: str = "labels.csv",
    images: str | Sequence[str] | None = None,
    columns: Mapping[str, str | None] | None = None,
    attributes: Sequence[str] = (),
    class_names: Sequence[str] | None = None,
    evaluation_only: bool = False,
    follow_links: bool = False,
) -> Catalog:
    """Read a table of images.

    Args:
        root: folder that relative paths start from.
        file: the table, CSV or Parquet, relative to `root` or absolute.
        images: folder or folders that the pictures' paths start from, relative to `root`; None is
            `root` itself.
        columns: names of the columns for path, label, group, image_id, split and fold. Where one
            of the last four is None, a column of that very name is taken if there is one; without
            group each image is its own, without image_id its path is its id. A path may lack the
            file's ending.
        attributes: further columns to keep (skin_type, sex, age, ...); where all values are
            numbers, of decimal points or of decimal commas, they become numbers.
        class_names: order of the classes; None takes the labels, sorted.
        evaluation_only: True keeps the images out of training.
        follow_links: True reads links that lead out of these folders.

    Raises:
        DermaSenseError: no such table or column, an attribute with a reserved name, or a relative
            path that leads out of the folders.
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
    asked = [name for name in chosen.values() if name]
    table = read_table(table_file, [*asked, *attributes])
    return of_table(
        table,
        name="csv",
        file=table_file,
        find=finder(folder, images, follow_links),
        chosen=chosen,
        attributes=attributes,
        class_names=class_names,
        evaluation_only=evaluation_only,
    )


def finder(root: Path, images: str | Sequence[str] | None, follow_links: bool) -> PictureFinder:
    """What finds pictures where their paths start: in folders of `root`, or `root` itself."""
    names = [images] if isinstance(images, str) else list(images or ["."])
    folders = [root / name for name in names]
    return PictureFinder(folders, Inside([root, *folders], follow_links))


def of_table(
    table: pd.DataFrame,
    *,
    name: str,
    file: Path,
    find: PictureFinder,
    chosen: Mapping[str, str | None],
    attributes: Sequence[str],
    class_names: Sequence[str] | None,
    evaluation_only: bool,
    note: str = "",
) -> Catalog:
    """The catalog of a table that was read as text; arguments as of `catalog`.

    Raises:
        DermaSenseError: an attribute with a reserved name, or a path that fits several files.
    """
    reserved = [each for each in attributes if each in (*REQUIRED, *GIVEN)]
    if reserved:
        raise DermaSenseError(
            f"data.attributes: '{reserved[0]}' is a name that every catalog uses itself; rename "
            f"that column of {file.name}."
        )
    columns = dict(chosen)
    for key in ("group", "image_id", *GIVEN):
        if columns[key] is None and key in table.columns:
            columns[key] = key
    paths = table[columns["path"]]
    labels = table[columns["label"]]
    ids = table[columns["image_id"]] if columns["image_id"] else paths
    groups = table[columns["group"]] if columns["group"] else pd.Series(None, table.index)
    groups = groups.where(~groups.isin(MISSING), None)
    origins = row_origins(file, len(table))
    frame = pd.DataFrame(
        {
            "image_id": ids,
            "path": [find(*each) for each in zip(paths, origins, strict=True)],
            "label": labels,
            "group": own_groups(groups, ids),
            "origin": origins,
        }
    )
    for each in attributes:
        frame[each] = attribute_values(table[each], origins)
    for each in GIVEN:
        if columns[each]:
            frame[each] = table[columns[each]].where(~table[columns[each]].isin(NOTHING), None)
    groups_are = what_groups_are(frame)
    notes = [note, "" if groups_are or evaluation_only else NO_GROUPS]
    return Catalog(
        name=name,
        frame=frame,
        class_names=tuple(map(str, class_names or sorted({*labels.dropna()} - {*NOTHING}))),
        attributes=tuple(attributes),
        licence="unknown: your own images",
        citation="",
        evaluation_only=evaluation_only,
        note="; ".join(text for text in notes if text),
        groups_are=groups_are,
    )


def attribute_values(column: pd.Series, origins: Sequence[str]) -> pd.Series:
    """A column of texts as numbers where every known value is one, else as text.

    Args:
        column: cells of a table, shape (N,); what is not known becomes missing.
        origins: where each row stands, for the warnings.
    """
    known = column.where(~column.isin(MISSING))
    there = known.notna()
    texts = known[there].str
    commas = texts.contains(",")
    if commas.any() and texts.fullmatch(r"[+-]?\d+(,\d+)?").all():
        if texts.fullmatch(THOUSANDS)[commas].all():
            row = int(known.str.contains(",", na=False).to_numpy().argmax())
            value = known.iloc[row]
            log.warning(
                "%s: '%s' may mean thousands or a decimal, so the column %s is text; write %s or "
                "%s throughout",
                *(origins[row], value, column.name, value.replace(",", "")),
                value.replace(",", "."),
            )
            return known
        known = known.str.replace(",", ".")
    numbers = pd.to_numeric(known, errors="coerce")
    strange = there & numbers.isna()
    if not strange.any():
        return numbers.astype("float64")
    if 2 * strange.sum() < there.sum():
        row = int(strange.to_numpy().argmax())
        log.warning(
            "%s: '%s' is no number, so the column %s is text (%d such values of %d); mend them, or "
            "leave the cells empty",
            *(origins[row], known.iloc[row], column.name, strange.sum(), there.sum()),
        )
    return known
