"""What `predictions=` may name: a Parquet table, a run folder, another tool's CSV or Parquet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import (
    Predictions,
    groups_across_folds,
    holds_logits,
    read_predictions,
)
from dermasense.evaluation.probabilities_csv import (
    names_lesions,
    read_labels,
    read_probabilities,
)
from dermasense.evaluation.protocol import BY_IMAGE, GROUPED, LEAKY, is_leaky
from dermasense.files import read_json
from dermasense.provenance import shell_line
from dermasense.run_folder import PLAN, RunFolder

NOT_STATED = "not stated (no run beside the table)"
TIED = 0.005  # share of images from which on ties are told
NO_GROUPS = (
    "no lesions are named, so every image counts by itself: where a lesion has several images, the "
    "intervals are too narrow"
)


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Attributes:
        name: what it is called beside others.
        file: where it lies.
        predictions: what it holds.
        protocol: how its split was made.
        note: what must be said wherever its numbers are shown.
        run: the run folder it lies in; None where there is none.
        part: "test" or "val" where it is a run's table of that split.
    """

    name: str
    file: Path
    predictions: Predictions
    protocol: str
    note: str = ""
    run: RunFolder | None = None
    part: str | None = None


def out_of_fold_protocol(of_a_fold: str) -> str:
    """How the split of all folds together was made, by the words on one of them."""
    return f"{of_a_fold}, out-of-fold"


def read_tables(
    places: Sequence[str], *, labels: str | None = None, protocol: str | None = None
) -> list[Table]:
    """Read every table, bring those of the same classes into the order of the first, name them.

    Of equal probabilities the first class is the answer: in orders of their own, two tables would
    answer differently.

    Args:
        places: Parquet files, run folders (their test table is taken) and CSV files.
        labels: CSV of the truth, for the CSV files; where it is not given, a CSV is judged by its
            own labels, and one that lacks some by those of the first table of ours, whose lesions
            it takes, too, where `labels` names none.
        protocol: how the splits were made; None takes the runs' own.

    Raises:
        DermaSenseError: nothing was named, a place holds no table, or what the readers refuse.
    """
    if not places:
        raise DermaSenseError(
            "predictions= names no table; give a Parquet file, a run folder, or a CSV with labels=."
        )
    twice = {place for place in places if places.count(place) > 1}
    if twice:
        raise DermaSenseError(f"{min(twice)} is named twice in predictions=; name each table once.")
    files = [(_located(place), place) for place in places]
    ours = [_ours(file, protocol) if _is_ours(file) else None for file, _ in files]
    known = next((each.predictions.frame for each in ours if each), None)
    truth = None if labels is None else read_labels(labels, attributes=True)
    tables = [
        each or _foreign(file, truth, known, protocol)
        for each, (file, _) in zip(ours, files, strict=True)
    ]
    names = _names(tables)
    order = tables[0].predictions.class_names
    found = []
    for table, name in zip(tables, names, strict=True):
        predictions = table.predictions
        if set(predictions.class_names) == set(order):
            predictions = predictions.in_order(order)
        note = "; ".join(text for text in (table.note, _ties(predictions)) if text)
        found.append(replace(table, name=name, predictions=predictions, note=note))
    return found


def read_one(file: Path) -> Predictions:
    """One table by itself: ours, or another tool's with labels of its own.

    Raises:
        DermaSenseError: as :func:`read_predictions` and :func:`read_probabilities`.
    """
    return read_predictions(file) if _is_ours(file) else read_probabilities(file)


def _located(place: str) -> Path:
    path = Path(place)
    if path.is_dir():
        table = RunFolder(path).predictions("test")
        if (path / PLAN).is_file():
            return _cross_validated(RunFolder(path))
        if not table.is_file():
            raise DermaSenseError(
                f"{path}: holds no {table.name}; the run is not finished (go on with "
                f"{shell_line('train', f'resume={path}')}), or name the .parquet file itself."
            )
        return table
    if not path.is_file():
        raise DermaSenseError(
            f"{path}: no such file or folder; give a .parquet or .csv file, or a run folder."
        )
    return path


def _cross_validated(folder: RunFolder) -> Path:
    if folder.out_of_fold.is_file():
        return folder.out_of_fold
    raise DermaSenseError(
        f"{folder.path}: holds no {folder.out_of_fold.name}; the cross-validation is not finished "
        f"(go on with {shell_line('cross_validate', f'resume={folder.path}')})."
    )


def _ours(file: Path, protocol: str | None) -> Table:
    predictions = read_predictions(file)
    folder = RunFolder(file.parent)
    run = folder if folder.config.is_file() else None
    part = next((s for s in ("test", "val") if run and file == run.predictions(s)), None)
    metrics = read_json(run.metrics) if run and run.metrics.is_file() else {}
    own = str(metrics.get("protocol") or "")
    if is_leaky(own):  # of a run; no word takes that away
        protocol = own
    said = _protocol(protocol) or own or _own_protocol(file, predictions)
    name = file.parent.name if part == "test" else file.stem
    return Table(name, file, predictions, said, metrics.get("note") or "", run, part)


def _foreign(
    file: Path, truth: pd.DataFrame | None, known: pd.DataFrame | None, protocol: str | None
) -> Table:
    predictions = read_probabilities(file, truth, known)
    note = "" if names_lesions(predictions.frame) else NO_GROUPS
    return Table(file.stem, file, predictions, _protocol(protocol) or NOT_STATED, note)


def _protocol(protocol: str | None) -> str | None:
    return LEAKY if protocol == "leaky" else protocol


def _own_protocol(file: Path, predictions: Predictions) -> str:
    if "fold" not in predictions.frame:
        return NOT_STATED
    shared = groups_across_folds(predictions.frame)
    if shared:
        raise DermaSenseError(
            f"{file}: group {shared[0]} stands in more than one fold ({len(shared)} such groups), "
            "so the numbers would be too high; split by group, or say protocol=leaky to have them "
            "labelled so."
        )
    return out_of_fold_protocol(GROUPED if names_lesions(predictions.frame) else BY_IMAGE)


def _is_ours(file: Path) -> bool:
    return file.suffix.lower() != ".csv" and holds_logits(file)


def _ties(predictions: Predictions) -> str:
    """What must be said where many answers are a matter of the order of the classes."""
    highest = predictions.logits == predictions.logits.max(axis=1, keepdims=True)
    share = (highest.sum(axis=1) > 1).mean()
    if share <= TIED:
        return ""
    return (
        f"{100 * share:.1f} % of the images have several most probable classes, of which the "
        f"first of {', '.join(predictions.class_names)} counts as the answer"
    )


def _names(tables: Sequence[Table]) -> list[str]:
    """Short names; with the folders above where two are the same."""
    names = [table.name for table in tables]
    for depth in range(1, 6):
        if len(set(names)) == len(names):
            return names
        names = [
            "/".join([*table.file.absolute().parts[-depth - 1 : -1], table.file.stem])
            if names.count(name) > 1
            else name
            for name, table in zip(names, tables, strict=True)
        ]
    return [f"{name} ({place + 1})" for place, name in enumerate(names)]
