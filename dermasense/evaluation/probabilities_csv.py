"""A CSV of another tool's answers, and the labels they are judged by, as a predictions table.

One row an image and one column a class: probabilities in columns named after the classes (upper or
lower case, as in the ISIC challenge), or in `prob_<class>`, or logits in `logit_<class>`. Truth
comes from a second CSV (a column of labels, or one 0/1 column a class), from its `label` column,
or from a predictions table of the same images. Further columns of the truth and of the CSV are
attributes. A Parquet file without logits is read alike.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from dermasense.data.catalog import own_groups, read_table, row_origins, without_group
from dermasense.data.sources.csv import attribute_values
from dermasense.data.table_file import NOTHING
from dermasense.errors import DermaSenseError
from dermasense.evaluation.class_columns import read_classes
from dermasense.evaluation.fairness.bands import banded_attributes
from dermasense.evaluation.predictions import Predictions, attributes_of
from dermasense.files import from_spreadsheet

log = logging.getLogger(__name__)
# The first of these that a table has is taken.
IDS = ("image_id", "image", "isic_id", "id", "md5hash")
LABELS = ("label", "dx", "diagnosis")
GROUPS = ("group", "lesion_id", "patient_id")
# What else is no class; one of pandas's row numbers has no name.
_RESERVED = {*IDS, *LABELS, *GROUPS, "fold", ""}
NOTICE = "notice"  # column of the CSV of predict, whose texts are written for spreadsheets


def read_probabilities(
    path: str | Path, truth: pd.DataFrame | None = None, known: pd.DataFrame | None = None
) -> Predictions:
    """Read and check another tool's table.

    Args:
        path: the CSV.
        truth: `image_id`, `label`, `group` and attributes of at least its images, from
            :func:`read_labels`; None takes the CSV's own labels, and where it lacks some those of
            `known`, if that has all of its images. Lesions are those of the truth where that names
            any, else those of `known` where that does and has all of the images, else the CSV's
            own. So is each attribute that of the first of these that tells it.
        known: the same of another table that this one stands beside.

    Returns:
        The images of the CSV, in its order; logits are log-probabilities where probabilities were
        given. Which attributes it has is logged.

    Raises:
        DermaSenseError: a column or a label is missing, a value is no number or no probability,
            probabilities that do not add up to 1, or rows that :class:`Predictions` refuses.
    """
    table = _read(path)
    try:
        _refuse_bare(table)
        frame = _frame(table, truth, known)
        classes = read_classes(table, frame["label"], frame["image_id"], _RESERVED)
        own = _attributes(table.drop(columns=classes.columns), path)
        frame = _with_attributes(frame, own, truth, known)
        _log_attributes(path, frame)
        return Predictions(frame, classes.logits, classes.names)
    except DermaSenseError as error:
        raise DermaSenseError(f"{path}: {error}") from error


def read_labels(path: str | Path, *, attributes: bool = False) -> pd.DataFrame:
    """Truth by image: columns image_id, label, group (its own where the CSV has no lesion).

    Args:
        path: the CSV.
        attributes: True keeps its further columns, too.

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
    label = _words(table[name]) if name else _one_hot(table)
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
    if not attributes or name is None:  # all columns of a one-hot table are classes
        return frame
    return pd.concat([frame, _attributes(table, path)], axis=1)


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
    own = None if label is None else _words(table[label])
    if truth is None and own is not None and (own.notna().all() or not covered):
        spelt = {str(name).lower(): name for name in ([] if known is None else known["label"])}
        frame["label"] = own.map(lambda name: spelt.get(name.lower(), name), na_action="ignore")
        return _with_groups(frame, known)
    truth = known if truth is None else truth
    if truth is None:
        raise DermaSenseError(
            "it holds no labels, so nothing can be judged; add labels=<csv with image_id and "
            "label> (evaluate), or a column label."
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


def _attributes(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """The columns that may be attributes, numbers as numbers."""
    names = [name for name in attributes_of(table) if name not in _RESERVED]
    if NOTICE in table:  # all that predict tells besides is of its answer
        names = []
    origins = row_origins(path, len(table))
    values = {name: attribute_values(table[name], origins) for name in names}
    return pd.DataFrame(values, index=table.index)


def _with_attributes(
    frame: pd.DataFrame, own: pd.DataFrame, *others: pd.DataFrame | None
) -> pd.DataFrame:
    """The frame with each attribute of those that have all its images, or else with its own."""
    told: dict[str, np.ndarray] = {}
    for other in others:
        if other is None or not frame["image_id"].isin(other["image_id"].astype(str)).all():
            continue
        rows = other.set_index(other["image_id"].astype(str)).loc[frame["image_id"]]
        told = {name: rows[name].to_numpy() for name in attributes_of(other)} | told
    return frame.assign(**{**{name: own[name] for name in own}, **told})


def _log_attributes(path: str | Path, frame: pd.DataFrame) -> None:
    names = attributes_of(frame)
    judged = [name for name, _ in banded_attributes(frame)]
    left = ", ".join(name for name in names if name not in judged)
    if judged:
        log.info("%s: attributes: %s", path, ", ".join(judged))
    if left:
        log.info("%s: left out: %s (no value, or more than 20 different words)", path, left)


def _refuse_bare(table: pd.DataFrame) -> None:
    if table.columns.has_duplicates:  # the reader lets none through that has a name
        raise DermaSenseError("a column without a name stands twice; name or remove them.")
    if len(table) == 0:
        raise DermaSenseError("it has a header and no rows; there is nothing to judge.")


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


def _words(column: pd.Series) -> pd.Series:
    """Labels; whole numbers without the ".0" that a column of numbers with gaps gives them."""
    known = _known(column)
    whole = known.dropna().str.fullmatch(r"\d+\.0+")
    return known.str.partition(".")[0] if len(whole) and whole.all() else known


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
