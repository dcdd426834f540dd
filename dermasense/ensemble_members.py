"""What an ensemble is made of: runs, cross-validations or tables; which rows fit and judge it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dermasense.cross_validation import Fold, found_folds
from dermasense.errors import DermaSenseError
from dermasense.evaluation.compare import paired
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.evaluation.protocol import is_leaky
from dermasense.evaluation.tables import Table, out_of_fold_protocol, read_tables
from dermasense.provenance import shell_line
from dermasense.run_folder import PLAN, SPLIT_COLUMNS, RunFolder


@dataclass(frozen=True)
class Material:
    """Members, aligned.

    Attributes:
        names: of the members.
        runs: finished runs behind each member (several where it is a cross-validation), () for
            tables.
        fit: tables that weights may be fitted on, same images in the same order; () for none.
        judged: tables to judge on, likewise; () where no image is unseen by all.
        folded: `fit` and `judged` are the same out-of-fold tables: fit on other folds than judged.
        protocol, note: as in :class:`Table`, of all members together.
        why_not: why nothing can be judged, in words.
    """

    names: tuple[str, ...]
    runs: tuple[tuple[RunFolder, ...], ...]
    fit: tuple[Predictions, ...]
    judged: tuple[Predictions, ...]
    folded: bool = False
    protocol: str = ""
    note: str = ""
    why_not: str = ""


def from_runs(places: Sequence[str], protocol: str | None = None) -> Material:
    """Members of run folders, or of folders of cross-validations.

    Raises:
        DermaSenseError: folders that hold neither, both kinds at once, members that trained on
            what judges them, or one run alone.
    """
    folders = [Path(place) for place in places]
    crossed = [folder for folder in folders if (folder / PLAN).is_file()]
    if crossed and len(crossed) < len(folders):
        other = next(folder for folder in folders if folder not in crossed)
        raise DermaSenseError(
            f"{crossed[0]} is a cross-validation and {other} is not; name members of one kind."
        )
    if crossed:
        return _of_folds(crossed[0]) if len(crossed) == 1 else _of_cross_validations(crossed)
    _need_two(places, "runs")
    tables = read_tables(places, protocol=protocol)
    for folder, table in zip(folders, tables, strict=True):
        if table.run is None or not table.run.bundle.is_dir():
            raise DermaSenseError(
                f"{folder}: holds no finished run with a bundle; name run folders, or give tables "
                "by predictions=."
            )
    names, runs = _short_names(folders), tuple((t.run,) for t in tables)
    said = _said_of(tables)
    val = [read_predictions(t.run.predictions("val")) for t in tables]
    fit = _aligned(val) if _same_images(val) else ()
    if not _same_images([t.predictions for t in tables]):
        return Material(names, runs, (), (), why_not=_differing(names, tables), **said)
    judged = _aligned([t.predictions for t in tables])
    _refuse_seen(tables, fit, judged, "image_id" if is_leaky(said["protocol"]) else "group")
    return Material(names, runs, fit, judged, **said)


def from_tables(
    predictions: Sequence[str], validation: Sequence[str], protocol: str | None = None
) -> Material:
    """Members of predictions tables alone.

    Raises:
        DermaSenseError: fewer than two, unequal numbers, or tables of different images.
    """
    _need_two(predictions, "predictions")
    tables = read_tables(predictions, protocol=protocol)
    judged = _aligned([table.predictions for table in tables])
    names = tuple(table.name for table in tables)
    said = _said_of(tables)
    if validation:
        if len(validation) != len(predictions):
            raise DermaSenseError(
                f"val= names {len(validation)} tables and predictions= {len(predictions)}; "
                "give one a member, in the same order."
            )
        fit = _aligned([each.predictions for each in read_tables(validation, protocol=protocol)])
        both = set(fit[0].frame["group"].astype(str)) & set(judged[0].frame["group"].astype(str))
        if both:
            raise DermaSenseError(
                f"val= and predictions= share {len(both)} groups (first: {min(both)}): "
                "weights must not be fitted on what they are judged by."
            )
        return Material(names, ((),) * len(names), fit, judged, **said)
    if all("fold" in each.frame for each in judged):
        _same_folds(names, judged)
        return Material(names, ((),) * len(names), judged, judged, folded=True, **said)
    return Material(names, ((),) * len(names), (), judged, **said)


def merged_splits(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """What the members together have seen: "train" where any trained on an image, and so on."""
    order = {"train": 0, "val": 1, "test": 2}
    frames = [pd.read_csv(r.splits, dtype=str, keep_default_na=False)[SPLIT_COLUMNS] for r in runs]
    whole = pd.concat(frames)
    whole = whole.assign(rank=whole["split"].map(order)).sort_values(["image_id", "rank"])
    return whole.drop_duplicates("image_id")[SPLIT_COLUMNS].reset_index(drop=True)


def _of_folds(folder: Path) -> Material:
    folds = _folds(folder)
    said = _said_of(read_tables([str(each.run.path) for each in folds]))
    names = tuple(str(each.run.path.relative_to(folder)) for each in folds)
    why = (
        "every image of the data was trained on by most of its members; judge it on other images "
        "(python -m dermasense.predict bundle=... labels=...)"
    )
    return Material(names, tuple((each.run,) for each in folds), (), (), why_not=why, **said)


def _of_cross_validations(folders: Sequence[Path]) -> Material:
    tables, runs = [], []
    for folder in folders:
        tables.append(RunFolder(folder).out_of_fold)
        runs.append(tuple(each.run for each in _folds(folder)))
    judged = _aligned([read_predictions(path) for path in tables])
    names = _short_names(folders)
    _same_folds(names, judged)
    said = _said_of(read_tables([str(first.path) for first, *_ in runs]))
    said["protocol"] = out_of_fold_protocol(said["protocol"])
    return Material(names, tuple(runs), judged, judged, folded=True, **said)


def _folds(folder: Path) -> list[Fold]:
    folds = found_folds(folder)
    if not folds:
        again = shell_line("cross_validate", f"resume={folder}")
        raise DermaSenseError(f"{folder}: holds no finished fold; go on with it by {again}")
    return folds


def _said_of(tables: Sequence[Table]) -> dict[str, str]:
    """Protocol and note of all members together: where one split leaks, so does the whole."""
    protocols = list(dict.fromkeys(table.protocol for table in tables))
    leaky = [each for each in protocols if is_leaky(each)]
    notes = dict.fromkeys(table.note for table in tables if table.note)
    return {"protocol": leaky[0] if leaky else "; ".join(protocols), "note": "; ".join(notes)}


def _short_names(folders: Sequence[Path]) -> tuple[str, ...]:
    """With as many folders above as tell them apart."""
    for depth in range(1, 6):
        names = ["/".join(folder.absolute().parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(str(folder) for folder in folders)


def _need_two(places: Sequence[str], option: str) -> None:
    if len(places) < 2:
        raise DermaSenseError(
            f"{option}= names {len(places)} member; an ensemble has two or more, separated by "
            "commas."
        )


def _same_images(tables: Sequence[Predictions]) -> bool:
    images = [set(each.frame["image_id"].astype(str)) for each in tables]
    return all(each == images[0] for each in images)


def _aligned(tables: Sequence[Predictions]) -> tuple[Predictions, ...]:
    return (tables[0], *[paired(tables[0], each)[1] for each in tables[1:]])


def _same_folds(names: Sequence[str], tables: Sequence[Predictions]) -> None:
    for name, each in zip(names[1:], tables[1:], strict=True):
        if not (each.frame["fold"].to_numpy() == tables[0].frame["fold"].to_numpy()).all():
            raise DermaSenseError(
                f"{name} has other folds than {names[0]}, so a member would be weighed by images "
                "that it trained on; cross-validate with the same split.seed and folds."
            )


def _differing(names: Sequence[str], tables: Sequence[Table]) -> str:
    counts = [len(table.predictions) for table in tables]
    sizes = ", ".join(f"{name} {n}" for name, n in zip(names, counts, strict=True))
    return (
        f"its members have different test images ({sizes}), so some trained on the others'; judge "
        "it on images that none has seen (python -m dermasense.predict bundle=... labels=...)"
    )


def _refuse_seen(
    tables: Sequence[Table], fit: Sequence[Predictions], judged: Sequence[Predictions], key: str
) -> None:
    """Every member's training part, where it is known, against what fits and judges them all."""
    for table in tables:
        if not table.run.splits.is_file():
            continue
        seen = pd.read_csv(table.run.splits, dtype=str, keep_default_na=False)
        trained = set(seen[key][seen["split"] == "train"])
        chosen = trained | set(seen[key][seen["split"] == "val"])
        for what, rows, known in (("test", judged, chosen), ("validation", fit, trained)):
            both = known & set(rows[0].frame[key].astype(str)) if rows else set()
            if both:
                raise DermaSenseError(
                    f"{table.name}: trained or was chosen on {len(both)} {key}s of the common "
                    f"{what} images (first: {min(both)}); members must share one split."
                )
