"""A CSV of another tool's answers, and the labels they are judged by, as a predictions table.

One row an image and one column a class: probabilities in columns named after the classes (upper or
lower case, as in the ISIC challenge), or in `prob_<class>`, or logits in `logit_<class>`. Truth
comes from a second CSV (a column of labels, or one 0/1 column a class), from its `label` column,
or from a predictions table of the same images.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from dermasense.data.catalog import own_groups, read_table, without_group
from dermasense.data.table_file import NOTHING
from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import PREFIX, Predictions
from dermasense.files import from_spreadsheet

# The first of these that a table has is taken.
IDS = ("image_id", "image", "isic_id", "id", "md5hash")
LABELS = ("label", "dx", "diagnosis")
GROUPS = ("group", "lesion_id", "patient_id")
PROBABILITY_PREFIX = "prob_"
NOTICE = "notice"  # column of the CSV of predict, whose texts are written for spreadsheets
# Another tool's 0 is a rounded number: its log must be finite. NLL can show at most 16 an image.
FLOOR = 1e-7
_SUM_TOLERANCE = 0.01


def read_probabilities(
    path: str | Path, truth: pd.DataFrame | None = None, known: pd.DataFrame | None = None
) -> Predictions:
    """Read and check another tool's table.

    Args:
        path: the CSV.
        truth: `image_id`, `label` and `group` of at least its images, from :func:`read_labels`;
            None takes the CSV's own labels, and where it lacks some those of `known`, if that has
            all of its images. Lesions are those of the truth where that names any, else those of
            `known` where that does and has all of the images, else the CSV's own.
        known: the same of another table that this one stands beside.

    Returns:
        The images of the CSV, in its order; logits are log-probabilities where probabilities were
        given.

    Raises:
        DermaSenseError: a column or a label is missing, a value is no number or no probability,
            probabilities that do not add up to 1, or rows that :class:`Predictions` refuses.
    """
    table = _read(path)
    try:
        _refuse_bare(table)
        frame = _frame(table, truth, known)
        names, values, are_logits = _scores(table, {str(each).lower() for each in frame["label"]})
        names = _spelt_as(names, frame["label"])
        logits = values if are_logits else _log(values, frame["image_id"])
        return Predictions(frame, logits, names)
    except DermaSenseError as error:
        raise DermaSenseError(f"{path}: {error}") from error


def read_labels(path: str | Path) -> pd.DataFrame:
    """Truth by image: columns image_id, label, group (its own where the CSV has no lesion).

    Raises:
        DermaSenseError: no column of ids or labels, an image twice, or an image without a label.
    """
    table = _read(path)
    try:
        _refuse_bare(table)
    except DermaSenseError as error:
        raise DermaSenseError(f"{path}: {error}") from None
    image_id = _column(table, IDS, path)
    name = _first(table, LABELS)
    label = _known(table[name]) if name else _one_hot(table)
    if label is None:
        raise DermaSenseError(
            f"{path}: has no column of labels ({', '.join(LABELS)}, or one 0/1 column a class); "
            f"it has {', '.join(table.columns)}."
        )
    groups = _groups(table, image_id)
    frame = pd.DataFrame({"image_id": image_id, "label": label, "group": groups})
    twice = frame["image_id"][frame["image_id"].duplicated()]
    if len(twice):
        raise DermaSenseError(
            f"{path}: the image {twice.iloc[0]} stands in more than one row; keep one row an image."
        )
    bare = np.flatnonzero(frame["label"].isna())
    if len(bare):
        cell = table[name].iloc[bare[0]]
        why = "" if pd.isna(cell) else f"'{cell}' counts as none; "
        raise DermaSenseError(
            f"{path}: row {bare[0] + 2} has no label ({why}{len(bare)} such rows); fill it in, or "
            "remove the row."
        )
    return frame


def _read(path: str | Path) -> pd.DataFrame:
    """The table; that of predict with its file names as they were."""
    table = read_table(path, ())
    if NOTICE not in table.columns:
        return table
    return table.map(lambda cell: from_spreadsheet(cell) if isinstance(cell, str) else cell)


def names_lesions(frame: pd.DataFrame) -> bool:
    """Whether any image has a group that was named, and is not one of its own."""
    return not without_group(frame).all()


def _frame(
    table: pd.DataFrame, truth: pd.DataFrame | None, known: pd.DataFrame | None
) -> pd.DataFrame:
    image_id = _column(table, IDS)
    label = _first(table, LABELS)
    frame = pd.DataFrame({"image_id": image_id, "group": _groups(table, image_id)})
    covered = known is not None and image_id.isin(known["image_id"].astype(str)).all()
    own = None if label is None else _known(table[label])
    if truth is None and own is not None and (own.notna().all() or not covered):
        spelt = {str(name).lower(): name for name in ([] if known is None else known["label"])}
        frame["label"] = own.map(lambda name: spelt.get(name.lower(), name), na_action="ignore")
        return _with_groups(frame, known)
    truth = known if truth is None else truth
    if truth is None:
        raise DermaSenseError(
            "it holds no labels, so nothing can be judged; add labels=<csv with image_id and "
            "label>."
        )
    labelled = truth.set_index(truth["image_id"].astype(str))
    lacking = image_id[~image_id.isin(labelled.index)]
    if len(lacking):
        raise DermaSenseError(
            f"{len(lacking)} of its {len(image_id)} images have no label, the first is "
            f"{lacking.iloc[0]} (labels are of images such as {labelled.index[0]}); label them or "
            "take them out."
        )
    rows = labelled.loc[image_id]
    frame["label"] = rows["label"].to_numpy()
    return _with_groups(frame, truth if names_lesions(rows) else known)


def _with_groups(frame: pd.DataFrame, known: pd.DataFrame | None) -> pd.DataFrame:
    """The frame with the groups of `known` where that names lesions and has all the images."""
    if known is None or not names_lesions(known):
        return frame
    groups = dict(zip(known["image_id"].astype(str), known["group"].astype(str), strict=True))
    found = frame["image_id"].map(groups)
    return frame.assign(group=found) if found.notna().all() else frame


def _refuse_bare(table: pd.DataFrame) -> None:
    if table.columns.has_duplicates:  # the reader lets none through that has a name
        raise DermaSenseError("a column without a name stands twice; name or remove them.")
    if len(table) == 0:
        raise DermaSenseError("it has a header and no rows; there is nothing to judge.")


def _scores(table: pd.DataFrame, labels: set[str]) -> tuple[list[str], np.ndarray, bool]:
    """Class names, values (N, C), and whether they are logits.

    Columns of numbers are classes, and so is one named after a label, whatever it holds.
    """
    for prefix, are_logits in ((PREFIX, True), (PROBABILITY_PREFIX, False)):
        columns = [c for c in table.columns if c.startswith(prefix)]
        if columns:
            names = [c.removeprefix(prefix) for c in columns]
            return names, np.stack([_numbers(table[c]) for c in columns], axis=1), are_logits
    reserved = {*IDS, *LABELS, *GROUPS, "fold"}
    columns = [
        c
        for c in table.columns
        if c not in reserved
        and (c.lower() in labels or pd.to_numeric(table[c], errors="coerce").notna().any())
    ]
    if not columns:
        raise DermaSenseError(
            f"it has no column of probabilities; give one a class, named after it (or "
            f"{PREFIX}<class>); its columns are {', '.join(table.columns)}."
        )
    return columns, np.stack([_numbers(table[c]) for c in columns], axis=1), False


def _numbers(column: pd.Series) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        cell = column.iloc[bad[0]]
        shown = "empty" if pd.isna(cell) else f"'{cell}'"
        raise DermaSenseError(
            f"row {bad[0] + 2}, column {column.name} is {shown}, not a finite number ({len(bad)} "
            "such rows); mend or remove the row, or the column if it is no class."
        )
    return values


def _log(values: np.ndarray, image_ids: pd.Series) -> np.ndarray:
    outside = np.argwhere((values < 0) | (values > 1))
    if len(outside):
        row, column = outside[0]
        percent = (values >= 0).all() and (np.abs(values.sum(axis=1) - 100) < 1).all()
        if percent:
            raise DermaSenseError(
                f"image {image_ids.iloc[row]} (row {row + 2}) has the value "
                f"{values[row, column]:g} and its row adds up to 100: these are percentages; "
                "divide them by 100."
            )
        raise DermaSenseError(
            f"image {image_ids.iloc[row]} (row {row + 2}) has the value {values[row, column]:g}, "
            f"which is no probability; give numbers from 0 to 1, or name the columns "
            f"{PREFIX}<class> if they are logits, and leave out columns that are no class."
        )
    total = values.sum(axis=1)
    off = np.flatnonzero(np.abs(total - 1) > _SUM_TOLERANCE)
    if len(off):
        raise DermaSenseError(
            f"the probabilities of image {image_ids.iloc[off[0]]} (row {off[0] + 2}) add up to "
            f"{total[off[0]]:.3g} instead of 1 ({len(off)} such rows); divide each row by its sum, "
            f"or give {PREFIX}<class> columns."
        )
    return np.log(np.maximum(values / total[:, None], FLOOR))


def _spelt_as(names: list[str], labels: pd.Series) -> tuple[str, ...]:
    """Class names as the labels spell them; every label must have its column."""
    spelt = {str(label).lower(): str(label) for label in labels.dropna()}
    names = [spelt.get(name.lower(), name) for name in names]
    lacking = sorted(set(spelt.values()) - set(names))
    if lacking:
        carry = int((labels == lacking[0]).sum())
        raise DermaSenseError(
            f"there is no column for the class {lacking[0]}, which {carry} of its images have; its "
            f"class columns are {', '.join(names)}. Where its column of labels is not the truth, "
            "give that by labels=."
        )
    return tuple(names)


def _one_hot(table: pd.DataFrame) -> pd.Series | None:
    columns = [c for c in table.columns if c not in {*IDS, *GROUPS}]
    values = table[columns].apply(pd.to_numeric, errors="coerce")
    if not columns or not values.isin([0, 1]).all(axis=None) or not (values.sum(axis=1) == 1).all():
        return None
    return values.idxmax(axis=1)


def _groups(table: pd.DataFrame, image_id: pd.Series) -> pd.Series:
    name = _first(table, GROUPS)
    groups = _known(table[name]) if name else pd.Series(None, index=table.index, dtype=object)
    return own_groups(groups, image_id)


def _known(column: pd.Series) -> pd.Series:
    """The cells, with words such as NA missing as empty ones are."""
    return column.where(~column.isin(NOTHING), None)


def _first(table: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table.columns), None)


def _column(table: pd.DataFrame, names: tuple[str, ...], path: str | Path = "") -> pd.Series:
    name = _first(table, names)
    if name is None:
        where = f"{path}: " if path else ""
        raise DermaSenseError(
            f"{where}it has no column of image names ({', '.join(names)}); its columns are "
            f"{', '.join(table.columns)}."
        )
    return table[name].astype(str)
