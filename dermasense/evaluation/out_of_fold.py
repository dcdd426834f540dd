"""Out-of-fold predictions: every image judged once, by a model that has not seen its lesion."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dermasense.errors import DermaSenseError
from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.calibration.scores import calibration_scores
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.judge import COMPARED
from dermasense.evaluation.predictions import Predictions, groups_across_folds
from dermasense.files import write_atomically


def out_of_fold(folds: Sequence[Predictions]) -> Predictions:
    """The judged tables of folds 0 .. k-1 as one, with a column `fold`.

    Raises:
        DermaSenseError: an image in two folds, a group in two folds, or other classes.
    """
    names = folds[0].class_names
    frames = [table.frame.assign(fold=number) for number, table in enumerate(folds)]
    frame = pd.concat(frames, ignore_index=True)
    twice = frame["image_id"][frame["image_id"].duplicated()]
    if len(twice):
        raise DermaSenseError(
            f"image {twice.iloc[0]} was judged in more than one fold ({len(twice)} such images): "
            "the folds are not of one split; run the cross-validation anew."
        )
    crossing = groups_across_folds(frame)
    if crossing:
        raise DermaSenseError(
            f"group {crossing[0]} was judged in more than one fold ({len(crossing)} such groups); "
            "the data has changed between folds: run the cross-validation anew."
        )
    logits = np.concatenate([table.in_order(names).logits for table in folds])
    return Predictions(frame, logits, names)


def tempered(
    folds: Sequence[Predictions],
    validations: Sequence[Predictions],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict:
    """NLL, Brier and ECE after each fold's own temperature, fitted on its inner validation part.

    Returns:
        `temperature` (mean over folds), `temperatures`, `at_bound`, and an interval a score.
    """
    fitted = [Temperature().fit(each) for each in validations]
    after = out_of_fold([one.apply(each) for one, each in zip(fitted, folds, strict=True)])
    found = calibration_scores(after, resamples=resamples, seed=seed)
    values = [one.value for one in fitted]
    return {
        "temperature": float(np.mean(values)),
        "temperatures": values,
        "at_bound": any(one.at_bound for one in fitted),
        **{name: each.as_dict() for name, each in found.items()},
    }


def spread(rows: Sequence[Mapping]) -> dict[str, dict]:
    """Mean, standard deviation (n - 1), least and most of each metric over folds or repeats.

    Args:
        rows: metrics of each, as :func:`dermasense.evaluation.metrics.summarise` gives them.

    Returns:
        metric -> mean, sd (None for one value), least, most, n (values that are defined). The sd
        of folds is no standard error: their training sets overlap (Bengio & Grandvalet 2004).
    """
    found = {}
    for name in COMPARED:
        values = np.array([row[name] for row in rows if row[name] is not None], dtype=float)
        found[name] = {
            "mean": float(values.mean()) if len(values) else None,
            "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
            "least": float(values.min()) if len(values) else None,
            "most": float(values.max()) if len(values) else None,
            "n": len(values),
        }
    return found


def over_repeats(
    repeats: Sequence[Predictions], *, resamples: int = 2000, seed: int = 0
) -> dict[str, dict]:
    """Metrics over all repeats together, with intervals by bootstrap over groups.

    A group that is drawn brings all repeats of its images, so that repeats narrow no interval as
    if they were new images; n counts images, not repeats.

    Args:
        repeats: out-of-fold tables of the same images.

    Returns:
        metric -> interval as a dict.
    """
    names = repeats[0].class_names
    frames = [
        table.frame.assign(image_id=table.frame["image_id"].astype(str) + f"#{number}")
        for number, table in enumerate(repeats)
    ]
    logits = np.concatenate([table.in_order(names).logits for table in repeats])
    together = Predictions(pd.concat(frames, ignore_index=True), logits, names)
    found = intervals(together, resamples=resamples, seed=seed)
    images = len(together) // len(repeats)
    return {name: found[name].as_dict() | {"n": images} for name in COMPARED if name in found}


def write_repeats(path: Path, tables: Sequence[Path]) -> Path:
    """One table of all repeats: every image once a repeat, told apart by the column `repeat`.

    Args:
        path: the Parquet file.
        tables: each repeat's own predictions table.
    """
    parts = [
        each.append_column("repeat", pa.array([number] * len(each), pa.int64()))
        for number, each in enumerate(map(pq.read_table, tables))
    ]
    whole = pa.concat_tables(parts, promote_options="default")
    write_atomically(path, lambda temporary: pq.write_table(whole, temporary))
    return path
