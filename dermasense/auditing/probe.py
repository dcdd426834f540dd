"""A linear probe: out-of-fold answers of a logistic regression on frozen features."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.linalg import eigh
from sklearn.linear_model import LogisticRegression

from dermasense.data.catalog import units_per_class
from dermasense.data.splits import assign_folds
from dermasense.evaluation.predictions import Predictions

# Of whitened features. On 7,470 lesions in frozen Lite0 features (one fold of five) C = .003, .01,
# .03 gave balanced accuracy .325, .393, .445 and nll .751, .730, .743: between the last two.
STRENGTH = 0.02
COMPONENTS = 256  # wider features are cut to so many principal components of the other folds
STEPS = 200
LOWEST = -20.0  # log-probability of a class that the other folds do not hold


def out_of_fold(
    frame: pd.DataFrame,
    vectors: np.ndarray,
    class_names: Sequence[str],
    *,
    folds: int,
    seed: int,
    by: str = "group",
    balanced: bool = False,
    strength: float = STRENGTH,
) -> Predictions:
    """Each image is answered by a probe that has seen neither it nor (by group) its group.

    Whitening and coefficients come from the other folds alone.

    Args:
        frame: image_id, group and label of n images.
        vectors: their features (n, D).
        class_names: the classes, each of at least two groups.
        folds: how many; fewer where a class has fewer groups.
        seed: of the folds.
        by: "group", or "image" for the leaky protocol.
        balanced: every class counts alike in the fit.
        strength: C of the logistic regression.

    Returns:
        The table of all n images; logits are log-probabilities, with the column `fold`.
    """
    frame = frame.reset_index(drop=True)
    least = min(units_per_class(frame, tuple(class_names), by="group").values())
    fold = assign_folds(frame, class_names, folds=min(folds, least), seed=seed, by=by).to_numpy()
    codes = frame["label"].map({name: i for i, name in enumerate(class_names)}).to_numpy()
    logits = np.full((len(frame), len(class_names)), LOWEST)
    for number in np.unique(fold):
        held = fold == number
        turn = _whitening(vectors[~held])
        probe = LogisticRegression(
            C=strength, max_iter=STEPS, tol=1e-3, class_weight="balanced" if balanced else None
        )
        probe.fit(turn(vectors[~held]), codes[~held])
        logits[np.ix_(held, probe.classes_)] = probe.predict_log_proba(turn(vectors[held]))
    table = frame[["image_id", "group", "label"]].assign(fold=fold)
    return Predictions(table, np.maximum(logits, LOWEST), tuple(class_names))


def _whitening(vectors: np.ndarray):
    """A function to principal components, at most COMPONENTS, of unit variance on these rows."""
    vectors = np.asarray(vectors, dtype=np.float32)
    n, width = vectors.shape
    mean = vectors.mean(0)
    centred = vectors - mean
    covariance = (centred.T @ centred / max(n - 1, 1)).astype(np.float64)
    keep = min(COMPONENTS, width, n)
    values, axes = eigh(covariance, subset_by_index=(width - keep, width - 1))
    known = values > 1e-5 * values[-1]  # features that are constant or add up have no direction
    known[-1] = True
    turn = (axes[:, known] / np.sqrt(np.maximum(values[known], 1e-9))).astype(np.float32)
    return lambda rows: (np.asarray(rows, dtype=np.float32) - mean) @ turn
