"""Splits that come with the data: a column, a splits.csv, folds, or a test set of its own.

They are taken as they are, and refused where a group crosses them.
"""

from dataclasses import dataclass

import pandas as pd

from dermasense.data.catalog import Catalog
from dermasense.data.map_words import how_to_map
from dermasense.data.splits import SPLITS, assert_no_leak, assign_validation, leaking_groups
from dermasense.data.table_file import read_table
from dermasense.errors import DermaSenseError, check_choice, nearest

COLUMNS = ("split", "fold")
WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class GivenSplit:
    """A split, what must be said about it, and whether groups cross it (only where allowed)."""

    parts: pd.Series
    notes: tuple[str, ...] = ()
    leaky: bool = False


def given_split(
    catalog: Catalog,
    *,
    by: str,
    seed: int,
    val_share: float,
    column: str | None = None,
    file: str | None = None,
    test_fold: str | int | None = None,
    val_fold: str | int | None = None,
    allow_leak: bool = False,
    test: object = None,
    shared_groups: bool = True,
) -> GivenSplit:
    """The split of the catalog's own column, or of a file.

    Args:
        catalog: checked rows, index 0 .. n-1.
        by: "column" (every row must have its part), or "own" (rows without one are for training).
        seed: of the validation part, where there is none yet.
        val_share: of the images outside the test split that become the validation part then.
        column: "split" or "fold"; None takes the one there is, "split" first.
        file: CSV with image_id and split or fold, such as a run's splits.csv; None: the catalog.
        test_fold: the fold to test on; None: the first one.
        val_fold: the fold to validate on; None: a part is cut out of the other folds.
        allow_leak: True takes a split that groups cross, and calls it leaky.
        test, shared_groups: of split=own; `load_catalog` has put the test set into the catalog.

    Raises:
        DermaSenseError: no such column, rows without a part, words that are no part, an empty
            part, a class without training images, or groups in several parts.
    """
    frame = catalog.frame
    column, values, notes = _values(frame, column, file)
    if column == "fold":
        parts = _of_folds(frame, values, test_fold, val_fold)
    else:
        parts = _of_words(frame, values, fill="train" if by == "own" else None)
    leaks = leaking_groups(frame, parts)
    if leaks and not allow_leak:
        assert_no_leak(frame, parts, HINTS[by])
    inside = parts == "train"
    if not (parts == "val").any() and inside.any():
        parts[inside] = assign_validation(
            frame[inside], catalog.class_names, share=val_share, seed=seed
        )
        notes.append(f"validation: {val_share:.0%} of the training images, whole groups")
    _refuse_empty(catalog, parts)
    for part in SPLITS[1:]:
        absent = sorted(set(catalog.class_names) - set(frame["label"][parts == part]))
        if absent:
            notes.append(f"{part} has no images of {', '.join(absent)}")
    return GivenSplit(parts.rename("split"), tuple(notes), bool(leaks))


HINTS = {
    "column": "mend the column, take split=group, or say split.allow_leak=true to have every "
    "number called leaky",
    "own": "remove their images from one of the two sets, or, where it is only by chance that they "
    "have the same group name, say split.shared_groups=false",
}


def _values(
    frame: pd.DataFrame, column: str | None, file: str | None
) -> tuple[str, pd.Series, list[str]]:
    if column is not None:
        check_choice("split.column", column, COLUMNS)
    table = frame if file is None else read_table(file, ["image_id"])
    there = [name for name in COLUMNS if name in table.columns and column in (None, name)]
    if not there:
        raise DermaSenseError(
            f"split=column: {file or 'the data'} has no column "
            f"{' or '.join(COLUMNS if column is None else [column])}; name it by "
            "data.columns.split=... or data.columns.fold=... (data=csv), or give "
            "split.file=<CSV with image_id and split>."
        )
    if file is None:
        return there[0], frame[there[0]], []
    return there[0], *_joined(frame, table, there[0], file)


def _joined(
    frame: pd.DataFrame, table: pd.DataFrame, column: str, file: str
) -> tuple[pd.Series, list[str]]:
    twice = table["image_id"][table["image_id"].duplicated() & table["image_id"].notna()]
    if len(twice):
        raise DermaSenseError(
            f"split.file={file}: image_id '{twice.iloc[0]}' stands in it twice; remove one."
        )
    known = table.dropna(subset=["image_id"]).set_index("image_id")[column]
    absent = frame["image_id"][~frame["image_id"].isin(known.index)]
    if len(absent):
        raise DermaSenseError(
            f"split.file={file}: {len(absent)} of {len(frame)} images are not in it (first: "
            f"{absent.iloc[0]}); add them, or take the file of this data set."
        )
    unused = len(known) - len(frame)
    notes = [f"{unused} rows of {file} are for images that are not in the data"] if unused else []
    return frame["image_id"].map(known), notes


def _of_words(frame: pd.DataFrame, values: pd.Series, fill: str | None) -> pd.Series:
    words = values.map(lambda v: None if pd.isna(v) else WORDS.get(str(v).strip().lower(), ""))
    strange = words == ""
    if strange.any():
        row = frame[strange].iloc[0]
        raise DermaSenseError(
            f"{row['origin']}: split '{values[strange].iloc[0]}' is none of train, val, test "
            f"({int(strange.sum())} such rows); mend it, or name a column of folds by "
            "data.columns.fold=..."
        )
    return _filled(frame, words, "split", fill)


def _filled(frame: pd.DataFrame, values: pd.Series, what: str, fill: str | None) -> pd.Series:
    empty = values.isna()
    if empty.any() and fill is None:
        raise DermaSenseError(
            f"{frame['origin'][empty].iloc[0]}: no {what} ({int(empty.sum())} such rows); fill it "
            "in, or remove the row."
        )
    return values.where(~empty, fill).astype(object)


def _of_folds(
    frame: pd.DataFrame, values: pd.Series, test: str | int | None, val: str | int | None
) -> pd.Series:
    folds = _filled(frame, values, "fold", None).map(str)
    names = sorted(set(folds), key=lambda name: (len(name), name))
    chosen = {"test": names[0] if test is None else str(test)}
    if val is not None:
        chosen["val"] = str(val)
    for part, name in chosen.items():
        if name not in names:
            raise DermaSenseError(f"split.{part}_fold={name} is no fold; {nearest(name, names)}")
    if chosen.get("val") == chosen["test"]:
        raise DermaSenseError(f"split.val_fold={val} is the test fold; name another one.")
    parts = pd.Series("train", frame.index, dtype=object)
    for part, name in chosen.items():
        parts[folds == name] = part
    return parts


def _refuse_empty(catalog: Catalog, parts: pd.Series) -> None:
    empty = [part for part in SPLITS if not (parts == part).any()]
    if empty:
        raise DermaSenseError(
            f"the given split has no {empty[0]} images; mark some, or take split=own with a test "
            "set of its own, or split=group."
        )
    trained = set(catalog.frame["label"][parts == "train"])
    absent = [name for name in catalog.class_names if name not in trained]
    if absent:
        raise DermaSenseError(
            f"the given split has no training images of {', '.join(absent)}; mark some, or leave "
            f"the class out by {how_to_map('data', dict.fromkeys(absent))}."
        )
