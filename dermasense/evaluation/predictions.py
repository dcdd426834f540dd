"""The predictions table: one row an image, and all that a metric, a plot or an audit may read.

Columns: `image_id, group, label`, `fold` where there is one, attributes, and one logit column a
class named `logit_<class>`, in the order of the class names, which also stands in the file's
metadata.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dermasense.errors import DermaSenseError, first_line, nearest
from dermasense.files import write_atomically

REQUIRED = ("image_id", "group", "label")
PREFIX = "logit_"
PROBABILITY_PREFIX = "prob_"  # of other tools, and of the answers of predict
# How far from 1 the probabilities of an image may add up: they were rounded.
SUM_TOLERANCE = 0.01
SCHEMA_VERSION = 1
# Beyond it squares and cubes of a mean overflow; no network gives such a logit.
_MOST = 1e50
_METADATA = b"dermasense.predictions"
# Where a picture lies on one machine is nobody else's business; a committed table would show it.
_LOCAL = ("path", "origin")
_NOT_ATTRIBUTES = (*REQUIRED, *_LOCAL, "fold", "split")


@dataclass(frozen=True)
class Predictions:
    """Logits beside their labels, checked once: whoever holds one may compute without checking.

    Args:
        frame: one row an image with `image_id`, `group` and `label` (class names), and any of
            `fold` and attributes; missing attributes are NaN or None.
        logits: finite floats, shape (N, C), rows aligned with `frame`, columns with `class_names`.
        class_names: the C classes in the order of the logits.

    Raises:
        DermaSenseError: an empty table, shapes that disagree, a logit that is not finite, a
            duplicate `image_id`, a missing `group` or `label`, or a label that is no class.
    """

    frame: pd.DataFrame
    logits: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        object.__setattr__(self, "frame", self.frame.reset_index(drop=True))
        object.__setattr__(self, "logits", _floats(self.logits))
        _check(self.frame, self.logits, self.class_names)

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def labels(self) -> np.ndarray:
        """Class indices, shape (N,), int64."""
        index = {name: i for i, name in enumerate(self.class_names)}
        return np.array([index[name] for name in self.frame["label"]], dtype=np.int64)

    @cached_property
    def groups(self) -> np.ndarray:
        """Group numbers 0..G-1 in the order of their names, shape (N,), int64.

        Not in order of appearance: a bootstrap must not notice that rows were shuffled.
        """
        return pd.factorize(self.frame["group"].astype(str), sort=True)[0].astype(np.int64)

    @property
    def n_groups(self) -> int:
        return int(self.groups.max()) + 1

    def rows(self, keep: np.ndarray) -> "Predictions":
        """The table's part that a boolean mask or row numbers choose."""
        keep = np.asarray(keep)
        keep = np.flatnonzero(keep) if keep.dtype == bool else keep
        return Predictions(self.frame.iloc[keep], self.logits[keep], self.class_names)

    def with_logits(self, logits: np.ndarray) -> "Predictions":
        """The same images with other logits, shape (N, C): after a calibration, say."""
        return Predictions(self.frame, logits, self.class_names)

    def in_order(self, class_names: Sequence[str]) -> "Predictions":
        """The same table with its logit columns in another order of the same classes."""
        order = tuple(class_names)
        if order == self.class_names:
            return self
        if sorted(order) != sorted(self.class_names):
            raise DermaSenseError(
                f"The table's classes are {', '.join(self.class_names)}, the expected ones are "
                f"{', '.join(order)}; compare tables of the same classes."
            )
        columns = [self.class_names.index(name) for name in order]
        return Predictions(self.frame, self.logits[:, columns], order)


def groups_across_folds(frame: pd.DataFrame) -> list[str]:
    """Groups whose images stand in more than one fold (a leak), sorted; [] without folds."""
    if "fold" not in frame:
        return []
    folds = frame.groupby(frame["group"].astype(str))["fold"].nunique(dropna=False)
    return sorted(folds.index[folds > 1])


def write_predictions(
    path: str | Path, frame: pd.DataFrame, logits: np.ndarray, class_names: Sequence[str]
) -> Path:
    """Write a checked table as Parquet, under a temporary name first.

    The columns `path` and `origin` are left out: the table is made to be given away.

    Raises:
        DermaSenseError: as :class:`Predictions`.
    """
    path = Path(path)
    table = Predictions(frame, logits, tuple(class_names))
    plain = table.frame.drop(columns=[c for c in table.frame if c in _LOCAL or _is_logit(c)])
    columns = {f"{PREFIX}{name}": table.logits[:, i] for i, name in enumerate(table.class_names)}
    whole = pd.concat([plain, pd.DataFrame(columns)], axis=1)
    arrow = pa.Table.from_pandas(whole, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), **table_metadata(table.class_names)}
    arrow = arrow.replace_schema_metadata(metadata)
    write_atomically(path, lambda temporary: pq.write_table(arrow, temporary))
    return path


def table_metadata(class_names: Sequence[str]) -> dict[bytes, bytes]:
    """What a table's file says about itself; for a writer that streams its rows."""
    about = {"schema_version": SCHEMA_VERSION, "class_names": list(class_names)}
    return {_METADATA: json.dumps(about).encode()}


def read_predictions(path: str | Path, class_names: Sequence[str] | None = None) -> Predictions:
    """Read and check a table.

    Args:
        path: a Parquet file of this layout; one that another tool wrote, without our metadata, is
            taken in the order of its logit columns.
        class_names: the order that the reader needs; the logits are put into it by name.

    Raises:
        DermaSenseError: no such file, not Parquet, a class without its column or with one of text,
            columns that contradict the stored order, another tool's probabilities under the name
            of logits, other classes than `class_names`, or rows that :class:`Predictions` refuses;
            the sentence begins with the path.
    """
    path = Path(path)
    if not path.is_file():
        raise DermaSenseError(f"{path}: no such predictions table; give a .parquet file.")
    try:
        arrow = pq.read_table(path)
        names = arrow.column_names
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise _unreadable(path, error) from error
    twice = next((c for c in names if names.count(c) > 1), None)
    if twice is not None:
        raise DermaSenseError(f"{path}: the column {twice} stands twice; keep one of the two.")
    columns = [name for name in names if _is_logit(name)]
    found = tuple(name.removeprefix(PREFIX) for name in columns)
    try:
        stored = _stored_order(arrow.schema.metadata or {}, found)
        frame = arrow.select([c for c in names if c not in columns]).to_pandas()
        if "label" in frame:
            frame["label"] = frame["label"].astype(object).map(_word)
        columns = [_numbers(arrow.column(f"{PREFIX}{name}"), f"{PREFIX}{name}") for name in stored]
        logits = np.stack(columns, axis=1)
        table = Predictions(frame, logits, stored)
        if _METADATA not in (arrow.schema.metadata or {}):
            refuse_probabilities(logits)
        return table if class_names is None else table.in_order(class_names)
    except DermaSenseError as error:
        raise DermaSenseError(f"{path}: {error}") from error
    except (pa.ArrowException, UnicodeError) as error:
        raise _unreadable(path, error) from error


def holds_logits(path: Path) -> bool:
    """Whether a file is Parquet with logit columns, which :func:`read_predictions` can take.

    One that cannot be read counts as such: the reader says what is wrong.
    """
    try:
        return any(_is_logit(name) for name in pq.read_schema(path).names)
    except (pa.ArrowException, OSError, UnicodeError):
        return True


def refuse_probabilities(logits: np.ndarray) -> None:
    """Refuse columns named logits, shape (N, C), that hold probabilities in every row.

    Raises:
        DermaSenseError: all values lie in 0 to 1, and each row adds up to 1.
    """
    inside = (logits >= 0).all() and (logits <= 1).all()
    if inside and (np.abs(logits.sum(axis=1) - 1) < SUM_TOLERANCE).all():
        raise DermaSenseError(
            f"its {PREFIX}<class> columns hold probabilities (from 0 to 1, and each row adds up to "
            f"1); name them {PROBABILITY_PREFIX}<class>."
        )


def _word(label: object) -> object:
    """A label as a class name, which is a word: "0" of 0 and of 0.0, "True" of True."""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return label if isinstance(label, str) or pd.isna(label) else str(label)


def _unreadable(path: Path, error: Exception) -> DermaSenseError:
    return DermaSenseError(
        f"{path}: not a readable Parquet table ({first_line(error)}); write it again."
    )


def _stored_order(metadata: dict[bytes, bytes], found: tuple[str, ...]) -> tuple[str, ...]:
    if not found:
        raise DermaSenseError(f"it has no {PREFIX}<class> column; write it with write_predictions.")
    if _METADATA not in metadata:
        return found
    about = json.loads(metadata[_METADATA])
    if about["schema_version"] > SCHEMA_VERSION:
        raise DermaSenseError(
            f"its layout is version {about['schema_version']}, this program knows up to "
            f"{SCHEMA_VERSION}; update dermasense."
        )
    stored = tuple(about["class_names"])
    for name in stored:
        if name not in found:
            raise DermaSenseError(
                f"the column {PREFIX}{name} is missing ({nearest(name, found)}); write it again."
            )
    if stored != found:
        raise DermaSenseError(
            f"its logit columns stand as {', '.join(found)} but its metadata says "
            f"{', '.join(stored)}; it was edited by another tool: write it again."
        )
    return stored


def _is_logit(column: object) -> bool:
    return str(column).startswith(PREFIX)


def _numbers(column: pa.ChunkedArray, name: str) -> np.ndarray:
    values = column.to_numpy()
    if values.dtype.kind not in "fiu":
        raise DermaSenseError(f"the column {name} holds {column.type}, no numbers; write logits.")
    return values


def attributes_of(frame: pd.DataFrame) -> list[str]:
    """Names of the attributes of a table or a catalog's frame: no ids, places, parts or answers."""
    names = [str(name) for name in frame.columns if name not in _NOT_ATTRIBUTES]
    return [name for name in names if not name.startswith((PREFIX, PROBABILITY_PREFIX))]


def refuse_unknown_attribute(frame: pd.DataFrame, attribute: str, wanted_by: str) -> None:
    """Refuse a name that is no attribute of the frame; `wanted_by` is the option that asks.

    Raises:
        DermaSenseError: with the attributes that there are.
    """
    known = attributes_of(frame)
    if not known:
        raise DermaSenseError(
            f"{wanted_by}: the data has no attributes; name them when you train (data=csv or "
            "onehot, data.attributes=[...])."
        )
    if attribute not in known:
        raise DermaSenseError(
            f"{wanted_by}: the data has no attribute '{attribute}'; {nearest(attribute, known)}"
        )


def _floats(logits: np.ndarray) -> np.ndarray:
    array = np.asarray(logits)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _check(frame: pd.DataFrame, logits: np.ndarray, class_names: tuple[str, ...]) -> None:
    for column in REQUIRED:
        if column not in frame:
            raise DermaSenseError(
                f"The predictions table has no column {column} "
                f"({nearest(column, frame.columns)}); add it."
            )
    if len(frame) == 0:
        raise DermaSenseError("The predictions table has no rows; there is nothing to judge.")
    if len(set(class_names)) != len(class_names):
        raise DermaSenseError(f"A class name stands twice in {', '.join(class_names)}.")
    if logits.shape != (len(frame), len(class_names)):
        raise DermaSenseError(
            f"The logits have shape {logits.shape}, but {len(frame)} rows of {len(class_names)} "
            f"classes need {(len(frame), len(class_names))}."
        )
    for column in REQUIRED:
        missing = np.flatnonzero(frame[column].isna())
        if len(missing):
            raise DermaSenseError(
                f"Row {missing[0] + 1} has no {column} ({len(missing)} such rows); fill it in."
            )
    twice = frame["image_id"][frame["image_id"].duplicated()]
    if len(twice):
        raise DermaSenseError(
            f"The image_id {twice.iloc[0]} stands in more than one row ({len(twice)} rows too "
            "many); keep one row an image."
        )
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise DermaSenseError(
            f"Image {frame['image_id'].iloc[bad[0]]} (row {bad[0] + 1}) has a logit that is not a "
            f"finite number ({len(bad)} such rows); the training diverged (lower the learning "
            "rate) or the table is damaged."
        )
    large = np.flatnonzero(np.abs(logits).max(axis=1).astype(np.float64) > _MOST)
    if len(large):
        raise DermaSenseError(
            f"Image {frame['image_id'].iloc[large[0]]} (row {large[0] + 1}) has the logit "
            f"{np.abs(logits[large[0]]).max():.3g} ({len(large)} such rows), which is beyond "
            f"{_MOST:g}; the training diverged or the table is damaged."
        )
    known = set(class_names)
    for row, label in enumerate(frame["label"]):
        if label not in known:
            raise DermaSenseError(
                f"Row {row + 1} has the label {label}, which is no class "
                f"({nearest(label, class_names)}); correct it, add its column {PREFIX}{label}, or "
                "drop the row."
            )
