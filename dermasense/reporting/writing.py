"""From tables to files: metrics.json, report.html, figures, and a model card beside a bundle."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dermasense.data.loading import load_catalog
from dermasense.errors import DermaSenseError
from dermasense.evaluation.judge import RESAMPLES, compare, judge
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.evaluation.tables import Table, read_tables
from dermasense.files import read_json, write_json, write_text
from dermasense.reporting.decided import CARD
from dermasense.reporting.model_card import model_card
from dermasense.reporting.report import write_report
from dermasense.reporting.subject import Origin, Subject, read_origin, training_counts
from dermasense.run_folder import RunFolder

NO_IMAGES = "report.images=false"
# Keys of a metrics.json that another command has written: no table alone gives them.
THEIRS = {"folds", "ensemble", "gain", "internal", "change"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What an evaluation left: the files, the subjects, the comparisons."""

    metrics: Path
    report: Path
    subjects: Sequence[Subject]
    pairs: Sequence[dict]


def report_run(run: RunFolder, frame: pd.DataFrame, *, images: bool) -> None:
    """What a finished training writes: its report and its model card; never fails a run.

    Args:
        run: the folder, with predictions, metrics.json and the bundle in it.
        frame: image_id and path of the images.
        images: whether the report may show thumbnails.
    """
    pictures = dict(zip(frame["image_id"].astype(str), frame["path"], strict=True))
    try:
        evaluate(read_tables([str(run.path)]), run.path, images=images, pictures=pictures)
    except Exception:  # hours of training must not be lost to a drawing
        log.exception(
            "The report could not be written; the run itself is whole. Try again with: "
            "python -m dermasense.evaluate predictions=%s",
            run.path,
        )


def evaluate(
    tables: Sequence[Table],
    out: Path,
    *,
    images: bool = True,
    pictures: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Written:
    """Judge tables, compare them where there are several, and write all that is said.

    In a run's own folder the metrics are added to its metrics.json, whose `val` and `test` stay,
    and MODEL_CARD.md goes into the bundle.

    Args:
        tables: of :func:`read_tables`.
        out: folder for metrics.json, report.html and figures/.
        images: whether the report may show thumbnails.
        pictures: path by image_id; None finds them by each run's data source.
        resamples, seed: of the bootstrap.
    """
    subjects = [_subject(table, images, pictures, resamples, seed) for table in tables]
    several = len(subjects) > 1
    pairs: list[dict] = []
    if several:
        pairs = compare([(s.name, s.predictions) for s in subjects], resamples=resamples, seed=seed)
        metrics = {"tables": {s.name: s.metrics for s in subjects}, "comparisons": pairs}
    else:
        metrics = subjects[0].metrics
    path = out / "metrics.json"
    own = tables[0].run
    if own is not None and path.absolute() == own.metrics.absolute() and path.is_file():
        before = read_json(path)
        metrics = {**before, **metrics}
    write_json(path, metrics)
    report = write_report(out / "report.html", subjects, pairs, out / "figures")
    for table, subject in zip(tables, subjects, strict=True):
        if table.part == "test" and table.run.bundle.is_dir():
            write_text(table.run.bundle / CARD, model_card(subject))
    return Written(path, report, subjects, pairs)


def default_out(tables: Sequence[Table]) -> Path:
    """Beside the table. A run's test table is reported in the run folder; others of a run, those
    in the folder of a cross-validation, an ensemble or an external set, and comparisons, in a
    folder of their own, so that nothing is overwritten."""
    first = tables[0]
    if len(tables) > 1:
        return first.file.parent / "comparison"
    metrics = first.file.parent / "metrics.json"
    theirs = first.run is None and metrics.is_file() and THEIRS & set(read_json(metrics))
    if theirs or (first.run is not None and first.part != "test"):
        return first.file.parent / f"{first.file.stem}_evaluation"
    return first.file.parent


def _subject(
    table: Table, images: bool, pictures: Mapping[str, str] | None, resamples: int, seed: int
) -> Subject:
    origin = read_origin(table.run) if table.run else None
    missing = "" if images else NO_IMAGES
    if not images:
        pictures = {}
    elif pictures is None:
        pictures, missing = _pictures(origin)
    metrics = judge(
        table.predictions,
        protocol=table.protocol,
        note=table.note,
        counts=training_counts(origin, table.predictions.class_names),
        validation=_validation(table),
        resamples=resamples,
        seed=seed,
    )
    return Subject(table.name, table.predictions, metrics, origin, pictures, missing, table.part)


def _validation(table: Table) -> Predictions | None:
    """The run's validation table, for a temperature, where the table itself is another one."""
    if table.part != "test" or not table.run.predictions("val").is_file():
        return None
    return read_predictions(table.run.predictions("val"), table.predictions.class_names)


def _pictures(origin: Origin | None) -> tuple[Mapping[str, str], str]:
    """Path by image_id, or why there are none."""
    if origin is None:
        return {}, "a table of predictions alone does not say where its pictures lie"
    try:
        frame = load_catalog(origin.settings["data"], origin.settings.get("split")).frame
    except DermaSenseError as error:
        return {}, f"the pictures of the run are not at hand ({str(error).splitlines()[0]})"
    return dict(zip(frame["image_id"].astype(str), frame["path"], strict=True)), ""
