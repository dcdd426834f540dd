"""From a catalog to checked rows, decoded pixels and a split: all that training asks for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermasense.data.catalog import (
    NONE_KNOWN,
    Catalog,
    fail_on,
    missing_files,
    table_problems,
    why_no_file,
)
from dermasense.data.given_splits import COLUMNS, GivenSplit, given_split
from dermasense.data.preprocess import InputSpec
from dermasense.data.splits import SPLITS, assert_no_leak, assign_fold, assign_splits
from dermasense.data.store import DecodedStore
from dermasense.errors import check_choice, check_options
from dermasense.evaluation.protocol import BY_IMAGE, GROUPED, LEAKY

ON_ERROR = ("raise", "skip")
GIVEN = ("column", "own")
WAYS = {"group": assign_splits, "image": assign_splits, "fold": assign_fold}
WAYS |= dict.fromkeys(GIVEN, given_split)


@dataclass(frozen=True)
class Prepared:
    """A catalog whose every row is known to be good, with its pixels and its split.

    Attributes:
        catalog: rows after skips; `catalog.frame` has the index 0 .. n-1.
        store: decoded pixels (may hold more rows than the catalog).
        split: "train", "val" or "test" for each row of the frame, same index.
        rows: int64 (n,), row of `store.images` for each row of the frame.
        skipped: what on_error=skip left out, as dicts of origin, path and reason.
        leaky: True where images of one group may stand in several splits.
        protocol: how the split was made, shown beside every number; see `protocol_of`.
        notes: what must be said about the split before training.
    """

    catalog: Catalog
    store: DecodedStore
    split: pd.Series
    rows: np.ndarray
    skipped: list[dict[str, str]] = field(default_factory=list)
    leaky: bool = False
    protocol: str = GROUPED
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What must be said wherever the numbers are shown."""
        across = "images of one lesion may stand on both sides of the split"
        parts = (self.catalog.note, across if self.protocol == BY_IMAGE else "")
        return "; ".join(part for part in parts if part)


def prepare_data(
    catalog: Catalog,
    spec: InputSpec,
    *,
    cache_dir: str | Path,
    on_error: str = "raise",
    split: Mapping[str, Any],
    max_pixels: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Decode, check and split; every bad row is reported in one message before training starts.

    Args:
        catalog: what a source returned.
        spec: the model's input.
        cache_dir: folder of the decoded stores.
        on_error: "raise", or "skip" to leave missing and unreadable images out and list them.
        split: by, and the options of that way to split: "group" or "image" for `assign_splits`,
            "fold" for `assign_fold`, "column" or "own" for `given_split`.
        max_pixels: overrides the pixel limit of `spec`.
        progress: called with (pictures done, of all) while decoding.

    Raises:
        DermaSenseError: one message with all problems, file and row.
    """
    check_choice("data.on_error", on_error, ON_ERROR)
    if max_pixels is not None:
        spec = replace(spec, max_pixels=max_pixels)
    by = split.get("by", "group")
    if not catalog.evaluation_only:
        check_split(split)
    frame = catalog.frame
    missing = missing_files(frame)
    present = np.array([i for i in range(len(frame)) if i not in missing], dtype=np.int64)
    if not len(present):
        fail_on(catalog.name, {"missing file": list(missing.values())} | table_problems(catalog))
    paths = frame["path"].iloc[present].tolist()
    store = DecodedStore.open_or_build(paths, spec, cache_dir, progress)
    unreadable = {int(present[row]): reason for row, reason in store.unreadable.items()}
    # A given split says itself what reaches which part; it is looked at below.
    reach, unit = _reach(by, split)
    kept, skipped = validate(catalog, missing, unreadable, on_error=on_error, splits=reach, by=unit)
    row_of = np.full(len(frame), -1, dtype=np.int64)
    row_of[present] = np.arange(len(present))
    rows = row_of[kept]
    catalog = replace(catalog, frame=frame.iloc[kept].reset_index(drop=True))
    given = make_split(catalog, split)
    # A table's own split and folds have been taken, or are not meant.
    frame = catalog.frame.drop(columns=[c for c in COLUMNS if c in catalog.frame.columns])
    return Prepared(
        replace(catalog, frame=frame),
        store,
        given.parts,
        rows,
        skipped,
        leaky=given.leaky,
        protocol=protocol_of(catalog, leaky=given.leaky),
        notes=given.notes,
    )


def check_split(split: Mapping[str, Any]) -> None:
    """Tries the way to split and the names of its options.

    Raises:
        DermaSenseError: an unknown way or option, or one that is missing.
    """
    by = split.get("by", "group")
    check_choice("split.by", by, WAYS)
    check_options("split", {"by": by, **split}, WAYS[by])


def protocol_of(catalog: Catalog, *, leaky: bool) -> str:
    """LEAKY where groups cross the split, BY_IMAGE where there are none to cross it, or GROUPED."""
    if leaky:
        return LEAKY
    return BY_IMAGE if catalog.groups_are == NONE_KNOWN else GROUPED


def _reach(by: str, split: Mapping[str, Any]) -> tuple[int, str]:
    """How many parts every class must reach, and in units of what."""
    if by in GIVEN:
        return 1, "group"
    if by == "fold":
        return split["folds"], "group"
    return len(SPLITS), by


def make_split(
    catalog: Catalog, split: Mapping[str, Any], *, allow_leak: bool = False
) -> GivenSplit:
    """Part the rows the way that is asked for.

    Args:
        catalog: checked rows, index 0 .. n-1.
        split: as for `prepare_data`.
        allow_leak: True takes a given split that groups cross, whatever its options say.

    Raises:
        DermaSenseError: where the rows cannot be parted so.
    """
    by = split.get("by", "group")
    if catalog.evaluation_only:
        return GivenSplit(pd.Series("test", catalog.frame.index, name="split", dtype=object))
    check_split(split)
    if by in GIVEN:
        return given_split(catalog, **({**split, "allow_leak": True} if allow_leak else split))
    parts = WAYS[by](catalog.frame, catalog.class_names, **split)
    if by == "image":
        return GivenSplit(parts, leaky=True)
    assert_no_leak(catalog.frame, parts)
    return GivenSplit(parts)


def validate(
    catalog: Catalog,
    missing: Mapping[int, str],
    unreadable: Mapping[int, str],
    *,
    on_error: str = "raise",
    splits: int = 1,
    by: str = "group",
) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Look at all rows at once: either all are good, or one message names the bad ones.

    Args:
        catalog: the table.
        missing: sentence by row position, from `missing_files`.
        unreadable: reason by row position, from the store.
        on_error: "raise", or "skip" to leave missing and unreadable rows out.
        splits: number of parts that each class must reach, after skips.
        by: "group" or "image".

    Returns:
        Positions of the rows that stay, and the skipped rows as dicts of origin, path and reason.

    Raises:
        DermaSenseError: one message with all that is wrong.
    """
    frame = catalog.frame
    bad = {i: why_no_file(frame["path"].iloc[i]) or "no such file" for i in missing}
    bad |= dict(unreadable)
    kept = np.array([i for i in range(len(frame)) if i not in bad], dtype=np.int64)
    if on_error == "raise":
        origins = frame["origin"].to_numpy()
        paths = frame["path"].to_numpy()
        files = {
            "missing file": list(missing.values()),
            "unreadable image": [
                f"{origins[i]}: {paths[i]} {reason}; replace or remove it"
                for i, reason in sorted(unreadable.items())
            ],
        }
        hint = "data.on_error=skip leaves such images out and lists them in the run folder."
        problems = table_problems(catalog, splits=splits, by=by)
        fail_on(catalog.name, files | problems, hint if bad else "")
        return kept, []
    skipped = [
        {"origin": frame["origin"].iloc[i], "path": frame["path"].iloc[i], "reason": bad[i]}
        for i in sorted(bad)
    ]
    remaining = replace(catalog, frame=frame.iloc[kept])
    hint = "data.on_error=skip left out {} images, the first is {origin}: {path} {reason}."
    hint = hint.format(len(skipped), **skipped[0]) if skipped else ""
    fail_on(catalog.name, table_problems(remaining, splits=splits, by=by), hint)
    return kept, skipped
