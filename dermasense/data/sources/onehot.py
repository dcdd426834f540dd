"""Your own images by a one-hot ground truth, as the ISIC challenges publish it: a column a class.

Class order: that of the columns, or `class_names` as given. A column without any image (UNK of
ISIC 2019) is no class.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dermasense.data.catalog import Catalog, read_table
from dermasense.data.sources.csv import COLUMNS, finder, of_table
from dermasense.errors import DermaSenseError, nearest

ZERO, ONE = ("0", "0.0"), ("1", "1.0")
OURS = ("image_id", "group", "split", "fold")


def catalog(
    root: str,
    file: str = "GroundTruth.csv",
    images: str | Sequence[str] | None = "images",
    metadata: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    attributes: Sequence[str] = (),
    class_names: Sequence[str] | None = None,
    evaluation_only: bool = False,
    follow_links: bool = False,
) -> Catalog:
    """Read the ground truth, and a second table of facts about the same images.

    Args:
        root: folder that relative names start from.
        file: the ground truth, relative to `root` or absolute: a column of image ids, and one of
            0 and 1 for each class.
        images: folder or folders of the pictures, named <image id>.<any ending>.
        metadata: table with the same image ids, for group (lesion_id) and attributes.
        columns: names of the columns for image_id, group, split and fold.
        attributes: columns to keep, of either table.
        class_names: the class columns, in the order of the logits; None takes all that are left.
        evaluation_only: True keeps the images out of training.
        follow_links: True reads links that lead out of these folders.

    Raises:
        DermaSenseError: no such table or column, a cell that is neither 0 nor 1, an image that
            stands twice in `metadata`, or one that leads out of the folders.
    """
    folder = Path(root).absolute()
    truth = folder / file
    if not truth.is_file():
        raise DermaSenseError(
            f"data=onehot: {truth} does not exist; type data.root=<folder> and data.file=<CSV with "
            "a column image and one of 0 and 1 for each class>."
        )
    chosen = {"image_id": "image", "group": None, "split": None, "fold": None}
    for key in dict(columns or {}).keys() - chosen.keys():
        raise DermaSenseError(f"data.columns.{key} is unknown; {nearest(key, chosen)}")
    chosen |= dict(columns or {})
    key = chosen["image_id"]
    table = read_table(truth, [key, *(class_names or ())])
    known = [key, *attributes, *(chosen[k] or k for k in OURS[1:])]
    names = list(class_names or [c for c in table.columns if c and c not in known])
    labels = _labels(table, names, truth)
    if metadata:
        table = _with_metadata(table, folder / metadata, key)
    wanted = [*attributes, *(name for name in chosen.values() if name)]
    for name in [name for name in wanted if name not in table.columns]:
        raise DermaSenseError(
            f"{truth.name}{' and ' + metadata if metadata else ''}: no column '{name}'; "
            f"{nearest(name, table.columns)}"
        )
    table = table.assign(**{LABEL: labels})
    empty = [name for name in names if name not in set(labels.dropna())]
    return of_table(
        table,
        name="onehot",
        file=truth,
        find=finder(folder, images, follow_links),
        chosen=COLUMNS | chosen | {"path": key, "label": LABEL},
        attributes=attributes,
        class_names=class_names or [name for name in names if name not in empty],
        evaluation_only=evaluation_only,
        note=f"no class, since no image is of it: {', '.join(empty)}" if empty else "",
    )


LABEL = "label of the one-hot columns"


def _labels(table: pd.DataFrame, names: Sequence[str], file: Path) -> pd.Series:
    """The class of each row; None where no column, or more than one, says 1."""
    if not names:
        raise DermaSenseError(f"{file}: has no class columns; name them by data.class_names=[...]")
    hot = pd.DataFrame({name: table[name].isin(ONE) for name in names})
    for name in names:
        strange = ~(hot[name] | table[name].isin(ZERO))
        if strange.any():
            row = int(strange.to_numpy().argmax())
            raise DermaSenseError(
                f"{file.name} row {row + 2}: '{table[name].iloc[row]}' in column '{name}' is "
                "neither 0 nor 1; mend it, or name the class columns by data.class_names=[...]"
            )
    several = hot.sum(axis=1) > 1
    if several.any():
        row = int(several.to_numpy().argmax())
        both = [name for name in names if hot[name].iloc[row]]
        raise DermaSenseError(
            f"{file.name} row {row + 2}: the image is of {' and '.join(both)} at once "
            f"({int(several.sum())} such rows); leave one 1 in the row."
        )
    return hot.idxmax(axis=1).astype(object).where(hot.any(axis=1), None)


def _with_metadata(table: pd.DataFrame, file: Path, key: str) -> pd.DataFrame:
    facts = read_table(file, [key])
    twice = facts[key][facts[key].duplicated() & facts[key].notna()]
    if len(twice):
        raise DermaSenseError(f"{file}: image '{twice.iloc[0]}' stands in it twice; remove one.")
    facts = facts.drop(columns=[c for c in facts.columns if c != key and c in table.columns])
    return table.merge(facts.dropna(subset=[key]), on=key, how="left", validate="many_to_one")
