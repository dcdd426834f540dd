"""Where a finished run's model looked, in a few of its test pictures, for the run's report."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.files import write_atomically, write_json
from dermasense.inference.explaining.overlay import TILE
from dermasense.inference.model import Model, load
from dermasense.run_folder import RunFolder

RIGHT, WRONG = 6, 2  # pictures: of the surest right answers one a class, and the surest wrong ones
log = logging.getLogger(__name__)


def look_into_run(run: RunFolder, frame: pd.DataFrame) -> None:
    """Writes small overlays and explained.json into the run; never fails a run.

    Args:
        run: with its bundle and predictions of the test split.
        frame: image_id and path of the images.
    """
    try:
        model = load(run.bundle, engine="torch")
        paths = dict(zip(frame["image_id"].astype(str), frame["path"], strict=True))
        table = read_predictions(run.predictions("test"))
        rows = [_written(model, run.explained, table, row, paths) for row in chosen(table)]
        write_json(run.explained / "explained.json", rows)
    except DermaSenseError as error:
        log.warning("where the model looked is not drawn, the run itself is whole: %s", error)
    except Exception:  # hours of training must not be lost to a drawing
        log.exception("where the model looked could not be drawn; the run itself is whole.")


def chosen(table: Predictions) -> list[int]:
    """Rows of the surest right answers, one a class, then of the surest wrong ones, one a group."""
    probabilities = softmax(table.logits.astype(float), axis=1)
    answers, sure = probabilities.argmax(1), probabilities.max(1)
    order = np.argsort(-sure, kind="stable")
    rows, classes, groups = [], set(), set()
    for row in order[answers[order] == table.labels[order]]:
        if answers[row] not in classes and len(rows) < RIGHT:
            rows.append(int(row))
            classes.add(answers[row])
    for row in order[answers[order] != table.labels[order]]:
        if table.groups[row] not in groups and len(groups) < WRONG:
            rows.append(int(row))
            groups.add(table.groups[row])
    return rows


def _written(model: Model, folder: Path, table: Predictions, row: int, paths: dict) -> dict:
    image_id = str(table.frame["image_id"].iloc[row])
    found = model.explain(paths[image_id], side=TILE)
    file = f"{row:06d}.jpg"
    shown = found.heat()
    write_atomically(folder / file, lambda to: shown.save(to, format="JPEG", quality=85))
    return {
        "image_id": image_id,
        "file": file,
        "label": table.class_names[table.labels[row]],
        "answer": found.target,
        "probability": round(found.probability, 4),
        "method": found.method,
        "says": found.sentence,
    }
