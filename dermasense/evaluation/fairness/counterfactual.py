"""Would the answer be another on another skin? Shifts of tone, their control, and what they change.

A shift moves the skin of an image of type s by median(t) - median(s), the medians of L* and b* of
the types among training images: the photograph keeps its light, the tone alone changes. Any change
of colour of that size changes some answers, so each shift has a control of the same length in the
plane of L* and b* that stays within the tone: towards another training image of the same type. A
model hangs on the tone only as far as shifts between tones change more than their controls.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.fairness.bands import ROMAN, TONES, tones
from dermasense.evaluation.fairness.means import mean_intervals

TYPES = np.arange(1, 7)
# Types whose median would hang on a handful of images are no target.
LEAST_TRAINING = 20


@dataclass(frozen=True)
class Shifts:
    """What is done to which image.

    Attributes:
        row: (n,) rows of the table of images.
        target: (n,) type shifted to, 1..6.
        vector: (n, 2) added to L* and b*.
        control: (n, 2) the same length, within the image's own tone.
    """

    row: np.ndarray
    target: np.ndarray
    vector: np.ndarray
    control: np.ndarray


def medians(values: np.ndarray, types: np.ndarray) -> dict[int, np.ndarray]:
    """Median L* and b* by type, of training images.

    Args:
        values: (N, 2) L* and b*, NaN where an image shows too little skin.
        types: (N,) 1..6, NaN where missing.

    Returns:
        Type -> (2,), the types that `LEAST_TRAINING` images or more have.

    Raises:
        DermaSenseError: fewer than two such types.
    """
    known = np.isfinite(values).all(axis=1)
    found = {
        int(kind): np.median(values[known & (types == kind)], axis=0)
        for kind in TYPES
        if (known & (types == kind)).sum() >= LEAST_TRAINING
    }
    if len(found) < 2:
        raise DermaSenseError(
            f"Only {len(found)} skin types have {LEAST_TRAINING} or more training images with "
            "enough skin in them; tones cannot be told apart."
        )
    return found


def plan_shifts(
    types: np.ndarray,
    medians: Mapping[int, np.ndarray],
    training_values: np.ndarray,
    training_types: np.ndarray,
    seed: int,
) -> Shifts:
    """Each image to each other type, with its control.

    Args:
        types: (N,) type of each image to shift, NaN where missing (left out).
        medians: of :func:`medians`.
        training_values, training_types: as there; controls head for one of these images.
        seed: of the draw of these images.
    """
    rng = np.random.default_rng(seed)
    known = np.isfinite(training_values).all(axis=1)
    row, target, vector, control = [], [], [], []
    for kind in medians:
        mine = np.flatnonzero(types == kind)
        others = training_values[known & (training_types == kind)]
        for goal in medians:
            if goal == kind:
                continue
            step = medians[goal] - medians[kind]
            start, end = rng.integers(len(others), size=(2, len(mine)))
            heading = others[end] - others[start]
            length = np.linalg.norm(heading, axis=1, keepdims=True)
            # The same image twice has no direction; any will do.
            heading = np.where(length > 1e-6, heading / np.maximum(length, 1e-6), [[1.0, 0.0]])
            row.append(mine)
            target.append(np.full(len(mine), goal))
            vector.append(np.tile(step, (len(mine), 1)))
            control.append(heading * np.linalg.norm(step))
    return Shifts(*(np.concatenate(each) for each in (row, target, vector, control)))


def changes(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which answers changed, bool (n,), and how far the probabilities moved, (n,) in 0..1.

    The distance is the total variation, half the sum of |p - q| over classes.

    Args:
        before, after: logits (n, C) of the same images.
    """
    p, q = (softmax(np.asarray(each, np.float64), axis=1) for each in (before, after))
    return before.argmax(axis=1) != after.argmax(axis=1), np.abs(p - q).sum(axis=1) / 2


def summary(
    table: pd.DataFrame, *, resamples: int = 2000, seed: int = 0
) -> list[dict[str, object]]:
    """Changed answers and mean shifts of probability, by own band and by type shifted to.

    Args:
        table: a row a shift: image_id, group, skin_type, target (types 1..6), length (of the
            shift), changed, moved, changed_control, moved_control; see :func:`changes`.
        resamples, seed: of the bootstrap over lesions.

    Returns:
        Rows of origin (a band or "all"), target (a type or "all"), n images, n_groups, the mean
        length of the shifts, and the intervals changed, changed_control, changed_excess (shift
        minus control, paired), moved, moved_control and moved_excess.
    """
    bands = tones(table["skin_type"])
    found = []
    pairs = [("all", "all"), *((band, "all") for band in TONES)]
    pairs += [("all", name) for name in ROMAN]
    for origin, target in pairs:
        keep = np.ones(len(table), bool) if origin == "all" else (bands == origin).to_numpy()
        if target != "all":
            keep &= (table["target"] == ROMAN.index(target) + 1).to_numpy()
        part = table[keep]
        if len(part) == 0:
            continue
        columns = {
            name: part[name].to_numpy(float)
            for name in ("changed", "changed_control", "moved", "moved_control")
        }
        for name in ("changed", "moved"):
            columns[f"{name}_excess"] = columns[name] - columns[f"{name}_control"]
        intervals = mean_intervals(
            columns,
            part["group"].astype(str).to_numpy(),
            shares=("changed", "changed_control"),
            resamples=resamples,
            seed=seed,
        )
        about = {"origin": origin, "target": target, "n": part["image_id"].nunique()}
        about |= {"n_groups": part["group"].nunique(), "length": float(part["length"].mean())}
        found.append(about | {name: intervals[name] for name in sorted(columns)})
    return found
