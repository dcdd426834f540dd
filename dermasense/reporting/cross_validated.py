"""From the folds of a cross-validation to its files: tables, metrics.json, one report.html."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dermasense.evaluation.judge import COMPARED, RESAMPLES, judge
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.out_of_fold import (
    out_of_fold,
    over_repeats,
    spread,
    tempered,
    write_repeats,
)
from dermasense.evaluation.predictions import Predictions, read_predictions, write_predictions
from dermasense.evaluation.tables import out_of_fold_protocol
from dermasense.files import read_json, write_csv, write_json
from dermasense.reporting.parts.folds import folds as folds_part
from dermasense.reporting.report import write_report
from dermasense.reporting.subject import Origin, Subject, read_origin
from dermasense.run_folder import RunFolder

FOLDS = "folds.csv"


def gather(
    folder: Path,
    repeats: Sequence[Sequence[RunFolder]],
    *,
    command: str = "",
    pictures: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:
    """Write predictions_oof.parquet, folds.csv, metrics.json and report.html.

    Args:
        folder: where they go; of several repeats each one's table goes to `repeat_<r>/`.
        repeats: finished runs of folds 0 .. k-1, a sequence a repeat.
        command: that made them, for the report.
        pictures: path by image_id for the thumbnails; None or empty for none.
        resamples, seed: of the bootstrap.

    Returns:
        What metrics.json holds: metrics of repeat 0 as `judge` gives them, `folds`, `repeats`,
        `over_repeats` (intervals over all repeats together) and `spread`.

    Raises:
        DermaSenseError: an image or a group that was judged in two folds.
    """
    origin = _origin(repeats[0][0], command)
    tables = [_tables(runs, "test") for runs in repeats]
    whole = [out_of_fold(each) for each in tables]
    _write_tables(folder, whole)
    said = {"protocol": origin.protocol, "note": origin.note}
    metrics = judge(whole[0], **said, resamples=resamples, seed=seed)
    validations = _tables(repeats[0], "val")
    metrics["after_temperature"] = tempered(tables[0], validations, resamples=resamples, seed=seed)
    summaries = [summarise(each, split_protocol=origin.protocol) for each in whole]
    metrics["folds"] = [
        _fold_row(run, repeat, fold, folder)
        for repeat, runs in enumerate(repeats)
        for fold, run in enumerate(runs)
    ]
    metrics["repeats"] = [
        {"repeat": number, "seed": _seed(runs[0]), **{key: row[key] for key in COMPARED}}
        for number, (runs, row) in enumerate(zip(repeats, summaries, strict=True))
    ]
    metrics["over_repeats"] = (
        over_repeats(whole, resamples=resamples, seed=seed)
        if len(whole) > 1
        else {key: metrics[key] for key in COMPARED}
    )
    metrics["spread"] = {"folds": spread(metrics["folds"]), "repeats": spread(summaries)}
    write_json(folder / "metrics.json", metrics)
    missing = "" if pictures else "report.images=false, or they are not at hand"
    subject = Subject(folder.name, whole[0], metrics, origin, pictures or {}, missing)
    extra = [folds_part(metrics)]
    write_report(folder / "report.html", [subject], (), folder / "figures", extra=extra)
    return metrics


def _tables(runs: Sequence[RunFolder], split: str) -> list[Predictions]:
    return [read_predictions(run.predictions(split)) for run in runs]


def _origin(run: RunFolder, command: str) -> Origin:
    """What all folds share; what is one fold's alone is left out."""
    origin = read_origin(run)
    environment = {**origin.environment, "command": command or origin.environment.get("command")}
    protocol = out_of_fold_protocol(origin.protocol)
    return replace(origin, environment=environment, history=[], training={}, protocol=protocol)


def _write_tables(folder: Path, whole: Sequence[Predictions]) -> None:
    several = len(whole) > 1
    places = [
        RunFolder(folder / f"repeat_{number}" if several else folder).predictions("oof")
        for number in range(len(whole))
    ]
    for place, each in zip(places, whole, strict=True):
        write_predictions(place, each.frame, each.logits, each.class_names)
    if several:
        write_repeats(RunFolder(folder).predictions("oof"), places)
    columns = ["image_id", "group", "label", "fold"]
    frames = [each.frame[columns].assign(repeat=number) for number, each in enumerate(whole)]
    columns = [*columns, "repeat"] if several else columns
    frame = pd.concat(frames).sort_values(["repeat", "image_id"])
    write_csv(folder / FOLDS, frame[columns].to_dict("records"), columns)


def _fold_row(run: RunFolder, repeat: int, fold: int, folder: Path) -> dict:
    test = read_json(run.metrics)["test"]
    finished = read_json(run.finished)
    return {
        "repeat": repeat,
        "fold": fold,
        "run": str(run.path.relative_to(folder)),
        "n": test["n"],
        "n_groups": test["n_groups"],
        **{key: test[key] for key in COMPARED},
        "seconds": finished["seconds"],
    }


def _seed(run: RunFolder) -> int:
    return run.read_config()[1]["seed"]
