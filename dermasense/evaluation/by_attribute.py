"""Accuracy by the attributes of a table (skin type, sex, age, site), each with n and interval."""

import numpy as np
import pandas as pd

from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.predictions import PREFIX, REQUIRED, Predictions

LEAST = 50
_BAND = 20
_MOST_VALUES = 20
NOT_ATTRIBUTES = (*REQUIRED, "fold", "split")


def by_attribute(
    predictions: Predictions, *, least: int = LEAST, resamples: int = 500, seed: int = 0
) -> dict[str, dict]:
    """top1 and balanced_accuracy of every value of every attribute.

    Numbers of many values (ages) are put in bands of twenty. A missing value is never a group.

    Args:
        predictions: the table; its other columns than ids, label and fold are attributes.
        least: images that a value needs to be shown.
        resamples, seed: of the bootstrap.

    Returns:
        Attribute -> least, unknown (images without a value), too_few (images in values of fewer
        than `least`), values {value: n, n_groups, top1, balanced_accuracy}. An attribute that has
        more than twenty different words (a free text) is left out.
    """
    found = {}
    for name in predictions.frame.columns:
        if name in NOT_ATTRIBUTES or str(name).startswith(PREFIX):
            continue
        values = _banded(predictions.frame[name])
        counts = values.value_counts().sort_index()
        if not 0 < len(counts) <= _MOST_VALUES:
            continue
        shown = counts[counts >= least]
        found[str(name)] = {
            "least": least,
            "unknown": int(values.isna().sum()),
            "too_few": int(counts.sum() - shown.sum()),
            "values": {
                str(value): _scores(
                    predictions.rows((values == value).to_numpy(bool)), resamples, seed
                )
                for value in shown.index
            },
        }
    return found


def _scores(part: Predictions, resamples: int, seed: int) -> dict:
    scores = intervals(part, resamples=resamples, seed=seed, ranking=False)
    shown = {key: scores[key].as_dict() for key in ("top1", "balanced_accuracy")}
    return {"n": len(part), "n_groups": part.n_groups, **shown}


def _banded(column: pd.Series) -> pd.Series:
    """Values as words, missing ones None; many different numbers as bands "40 to 59"."""
    known = column.notna()
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > 10:
        low = (np.floor(column[known].astype(float) / _BAND) * _BAND).astype(int)
        words = low.map(lambda start: f"{start} to {start + _BAND - 1}")
    elif pd.api.types.is_numeric_dtype(column):
        words = column[known].map(lambda value: f"{value:g}")
    else:
        words = column[known].astype(str)
    return words.reindex(column.index)
