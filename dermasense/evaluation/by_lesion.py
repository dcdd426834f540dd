"""One answer for a lesion from all its photographs, and what that gains over one photograph."""

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.compare import differences
from dermasense.evaluation.decisions.shares import one_per_group
from dermasense.evaluation.predictions import PREFIX, Predictions

CHOICES = ("random", "first")


def by_lesion(predictions: Predictions) -> Predictions:
    """One row a lesion: the mean of the log-probabilities of its images, as a product of experts.

    The rows are named by the lesion, their logits are log-probabilities (N, C). Attributes are
    those of the image whose id comes first.

    Raises:
        DermaSenseError: a lesion with several labels.
    """
    logp = log_softmax(predictions.logits.astype(np.float64), axis=1)
    groups = predictions.groups
    total = np.stack([np.bincount(groups, column) for column in logp.T], axis=1)
    mean = total / np.bincount(groups)[:, None]
    logits = log_softmax(mean, axis=1)
    first = _rows(predictions, "first", 0)
    frame = predictions.frame
    labels = frame.groupby(frame["group"].astype(str))["label"].nunique()
    if (labels > 1).any():
        raise DermaSenseError(
            f"The group {labels.index[labels > 1][0]} has images of several labels "
            f"({int((labels > 1).sum())} such groups); a lesion has one: correct them, or leave "
            "out groups that are no lesions."
        )
    return _named_by_lesion(first, logits)


def one_photo(predictions: Predictions, which: str = "random", seed: int = 0) -> Predictions:
    """One row a lesion: the answer for one of its images, at random or the first by its id."""
    rows = _rows(predictions, which, seed)
    return _named_by_lesion(rows, log_softmax(rows.logits.astype(np.float64), axis=1))


def gain(
    predictions: Predictions, which: str = "random", *, resamples: int = 2000, seed: int = 0
) -> dict:
    """All photographs of a lesion against one, only over the lesions that have more than one.

    Args:
        predictions: the table.
        which: "random" or "first".
        resamples, seed: of the bootstrap over lesions; the seed also draws the photograph.

    Returns:
        n_images and n_lesions (with more than one image), all_lesions, and `differences`:
        metric -> interval of the paired difference, lesions as units; `one` and `several` are the
        two tables.

    Raises:
        DermaSenseError: no lesion has two images, or one has several labels.
    """
    count = np.bincount(predictions.groups)
    repeated = count[predictions.groups] > 1
    if not repeated.any():
        raise DermaSenseError("No lesion has more than one image here; there is nothing to join.")
    part = predictions.rows(repeated)
    one, several = one_photo(part, which, seed), by_lesion(part)
    found = differences(one, several, resamples=resamples, seed=seed, ranking=False)
    return {
        "n_images": len(part),
        "n_lesions": part.n_groups,
        "all_lesions": predictions.n_groups,
        "one": one,
        "several": several,
        "differences": found,
    }


def _rows(predictions: Predictions, which: str, seed: int) -> Predictions:
    if which not in CHOICES:
        raise DermaSenseError(f"which={which}: expected one of {', '.join(CHOICES)}.")
    if which == "random":
        return one_per_group(predictions, seed)
    order = np.argsort(predictions.frame["image_id"].astype(str).to_numpy(), kind="stable")
    _, first = np.unique(predictions.groups[order], return_index=True)
    return predictions.rows(order[first])


def _named_by_lesion(rows: Predictions, logits: np.ndarray) -> Predictions:
    frame: pd.DataFrame = rows.frame.drop(columns=[c for c in rows.frame if _is_logit(c)])
    return Predictions(frame.assign(image_id=frame["group"].astype(str)), logits, rows.class_names)


def _is_logit(column: object) -> bool:
    return str(column).startswith(PREFIX)
