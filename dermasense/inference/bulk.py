"""Answers for as many pictures as there are: streamed, in parts, so that a killed call goes on.

Memory holds the names, a few batches of pixels and one part's rows. Batches never cross the border
of a part, so an interrupted and resumed call writes the same bytes as an undisturbed one.
"""

import contextlib
import csv
import hashlib
import json
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dermasense.data.preprocess import UnreadableImage
from dermasense.evaluation.predictions import PREFIX, table_metadata
from dermasense.files import spreadsheet_row, write_atomically, write_csv
from dermasense.inference import answer_table as rows_of
from dermasense.inference.image_sources import SKIPPED, Images, UnreadableFile
from dermasense.inference.labels import Label
from dermasense.inference.model import Model
from dermasense.provenance import usable_cores
from dermasense.run_folder import RunFolder

PART = 2048  # pictures a part: a minute's work or less is lost to a kill
PARTS = ".parts"
FILES = ("predictions.parquet", "predictions.csv", "skipped.csv")  # that are written into `out`
Progress = Callable[[int, int], None]
Answer = Callable[[Model, Images, Sequence[Path], int, Progress | None], None]


@dataclass
class Written:
    """What a bulk prediction left.

    Attributes:
        out: folder of predictions.parquet, predictions.csv and skipped.csv.
        answered: pictures with an answer.
        skipped: files that could not be read.
        unlabelled: answered pictures without a label, where labels were given.
        answers: pictures by answer.
        referred: pictures referred to a person.
        warned: pictures with a warning.
        shown: a sentence on each of the first pictures.
    """

    out: Path
    answered: int = 0
    skipped: int = 0
    unlabelled: int = 0
    answers: Counter = field(default_factory=Counter)
    referred: int = 0
    warned: int = 0
    shown: list[str] = field(default_factory=list)


def predict_all(
    model: Model,
    images: Images,
    out: Path,
    *,
    labels: Mapping[str, Label] | None = None,
    show: int = 5,
    part: int = PART,
    progress: Progress | None = None,
    answer: Answer | None = None,
) -> Written:
    """Answers for all pictures, into `out`; a second call goes on where a killed one stopped.

    Args:
        model: of :func:`dermasense.load`.
        images: of :func:`open_images`.
        out: predictions.parquet, predictions.csv and skipped.csv are written here.
        labels: by image id, of :func:`labels_of`.
        show: how many pictures to say a sentence about.
        part: pictures a part.
        progress: called with (pictures done, of all).
        answer: writes the missing parts; default :func:`answer_parts`.

    Raises:
        DermaSenseError: another process writes into `out`, or it is a file.
    """
    folder = out / PARTS
    parts = folder / _plan(model, images, part)
    with RunFolder(folder).held():
        paths = [parts / f"{first // part:06d}.parquet" for first in range(0, len(images), part)]
        (answer or answer_parts)(model, images, paths, part, progress)
        written = _merge(model.class_names, paths, out, labels, show)
        shutil.rmtree(folder)
    return written


def _plan(model: Model, images: Images, part: int) -> str:
    """Name of what the parts belong to: these pictures, this model, these options."""
    predictor = model.predictor
    options = [
        predictor.views,
        predictor.average,
        predictor.batch_size,
        predictor.engine,
        predictor.device,
        part,
    ]
    said = json.dumps([images.fingerprint(), list(images.ids), model.info, options], default=str)
    return hashlib.blake2b(said.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def answer_parts(
    model: Model, images: Images, paths: Sequence[Path], part: int, progress: Progress | None
) -> None:
    """Writes the parts that are not there yet, in this process."""
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    spans = [range(n * part, min((n + 1) * part, len(images))) for n in missing]
    done = len(images) - sum(map(len, spans))
    decoded = _decoded(model, images, [row for span in spans for row in span])
    layout = rows_of.schema(model.class_names)
    with contextlib.closing(decoded):
        for number, span in zip(missing, spans, strict=True):
            found: dict[int, dict] = {}
            waiting: list[tuple[int, np.ndarray]] = []
            for row in span:
                _, pixels, reason = next(decoded)
                if pixels is None:
                    found[row] = rows_of.broken(images.ids[row], images.names[row], reason)
                else:
                    waiting.append((row, pixels))
                if waiting and (len(waiting) == model.predictor.batch_size or row == span[-1]):
                    judged = model.judge(
                        [each for _, each in waiting], [images.names[r] for r, _ in waiting]
                    )
                    for (r, _), one in zip(waiting, judged, strict=True):
                        found[r] = rows_of.row(images.ids[r], one)
                    waiting = []
                done += 1
                if progress and (done % 16 == 0 or done == len(images)):
                    progress(done, len(images))
            table = pa.Table.from_pylist([found[row] for row in span], layout)
            write_atomically(paths[number], lambda to, table=table: pq.write_table(table, to))


def _decoded(
    model: Model, images: Images, rows: Sequence[int]
) -> Iterator[tuple[int, np.ndarray | None, str]]:
    """(row, pixels or None, reason) in order, decoded by threads a few batches ahead."""
    threads = min(16, usable_cores())
    ahead = 2 * model.predictor.batch_size + threads

    def work(row: int) -> tuple[int, np.ndarray | None, str]:
        try:
            return row, model.pixels(images.source(row), images.names[row]), ""
        except (UnreadableImage, UnreadableFile) as error:
            return row, None, error.reason

    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    queue: deque[Future] = deque()
    try:
        coming = iter(rows)
        for row in coming:
            queue.append(pool.submit(work, row))
            if len(queue) >= ahead:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _merge(
    names: Sequence[str],
    paths: Sequence[Path],
    out: Path,
    labels: Mapping[str, Label] | None,
    show: int,
) -> Written:
    """The parts as one Parquet and one CSV file, part by part."""
    written = Written(out)
    skipped: list[dict] = []
    layout = _layout(names, labels is not None)

    def both(csv_path: Path) -> None:
        with open(csv_path, "w", newline="", encoding="utf-8", errors="backslashreplace") as handle:
            columns = rows_of.csv_columns(names, labels is not None)
            sheet = csv.DictWriter(handle, columns, lineterminator="\n", extrasaction="ignore")
            sheet.writeheader()
            write_atomically(out / "predictions.parquet", lambda to: fill(to, sheet))

    def fill(parquet_path: Path, sheet: csv.DictWriter) -> None:
        with pq.ParquetWriter(parquet_path, layout) as writer:
            for path in paths:
                kept = []
                for each in pq.read_table(path).to_pylist():
                    if each[rows_of.BROKEN] is not None:
                        told = {"image": each["image"], "reason": each[rows_of.BROKEN]}
                        skipped.append(spreadsheet_row(told))
                        continue
                    label = (labels or {}).get(each["image_id"])
                    if label is not None:
                        each |= label._asdict()
                    sheet.writerow(rows_of.csv_row(each))
                    _count(written, each, names, show)
                    if labels is None or label is not None:
                        kept.append(each)
                    else:
                        written.unlabelled += 1
                writer.write_table(pa.Table.from_pylist(kept, layout))

    write_atomically(out / "predictions.csv", both)
    write_csv(out / "skipped.csv", skipped, SKIPPED)
    written.skipped = len(skipped)
    return written


def _layout(names: Sequence[str], labelled: bool) -> pa.Schema:
    """Columns of predictions.parquet.

    With labels it is a predictions table, where every further column would be taken for an
    attribute of the picture; so answers stand in it without labels only.
    """
    logits = [pa.field(f"{PREFIX}{name}", pa.float32()) for name in names]
    text = [pa.field(name, pa.string()) for name in ("image_id", "group", "label")]
    if labelled:
        return pa.schema([*text, *logits], table_metadata(names))
    answers = [
        each
        for each in rows_of.schema(names)
        if each.name not in ("image", rows_of.BROKEN) and not each.name.startswith(PREFIX)
    ]
    return pa.schema([*answers, *logits], table_metadata(names))


def _count(written: Written, each: dict, names: Sequence[str], show: int) -> None:
    written.answered += 1
    written.answers[each["answer"]] += 1
    written.referred += each["decision"] == "refer"
    written.warned += bool(each["warnings"])
    if len(written.shown) < show:
        written.shown.append(rows_of.sentence(each, names))
