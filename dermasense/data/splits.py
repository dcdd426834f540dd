"""Grouped, stratified splits: a pure function of (groups, labels, seed), whatever the row order.

Each class hands out its groups on its own, so images added to one class leave the split of the
others as it was, and every part of every class is known to be filled before training starts.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dermasense.data.catalog import home_class
from dermasense.errors import DermaSenseError, check_choice

SPLITS = ("train", "val", "test")
UNITS = ("group", "image")
SHOWN = 5  # names of crossing groups in a message


def assign_splits(
    frame: pd.DataFrame,
    class_names: Sequence[str],
    *,
    seed: int,
    fractions: Sequence[float] = (0.70, 0.15, 0.15),
    by: str = "group",
) -> pd.Series:
    """Give every image to train, val or test.

    Args:
        frame: a catalog's frame (image_id, label, group).
        class_names: all classes, in the order of the logits.
        seed: same seed, same split; the order of the rows changes nothing.
        fractions: shares of train, val and test in each class's images; they sum to 1.
        by: "group" gives whole groups; "image" is the originals' leaky protocol.

    Returns:
        "train", "val" or "test" with the index of `frame`.

    Raises:
        DermaSenseError: bad fractions, or a class with fewer groups than splits.
    """
    parts = _assign(frame, class_names, _shares(fractions), seed=seed, by=by)
    return parts.map(dict(enumerate(SPLITS))).rename("split")


def _shares(fractions: Sequence[float]) -> np.ndarray:
    try:
        shares = np.asarray(fractions, dtype=float)
    except (TypeError, ValueError):
        shares = np.empty(0)
    if shares.shape != (3,) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        shown = list(fractions) if isinstance(fractions, tuple) else fractions
        raise DermaSenseError(
            f"split.fractions={shown} must be three positive numbers that sum to 1 "
            "(train, val, test)."
        )
    return shares


def assign_folds(
    frame: pd.DataFrame, class_names: Sequence[str], *, folds: int, seed: int, by: str = "group"
) -> pd.Series:
    """Give every image to one of `folds` equal parts, grouped and stratified.

    Returns:
        0 .. folds-1 with the index of `frame`.

    Raises:
        DermaSenseError: folds < 2, or a class with fewer groups than folds.
    """
    if folds < 2:
        raise DermaSenseError(f"split.folds={folds}: expected an integer >= 2.")
    return _assign(frame, class_names, np.full(folds, 1 / folds), seed=seed, by=by).rename("fold")


def assign_fold(
    frame: pd.DataFrame,
    class_names: Sequence[str],
    *,
    folds: int,
    fold: int,
    seed: int,
    val_fraction: float,
    by: str = "fold",
) -> pd.Series:
    """One fold as the test split, and a grouped, stratified part of the others for early stopping.

    Args:
        frame: a catalog's frame (image_id, label, group).
        class_names: all classes, in the order of the logits.
        folds: how many there are; see :func:`assign_folds`.
        fold: the one that is judged, 0 .. folds-1.
        seed: same seed, same folds, whichever is judged.
        val_fraction: share of the images outside the judged fold.
        by: "fold"; the way of splitting that was asked for.

    Returns:
        "train", "val" or "test" with the index of `frame`.

    Raises:
        DermaSenseError: values out of range, or a class with too few groups.
    """
    if not 0 <= fold < folds:
        raise DermaSenseError(
            f"split.fold={fold}: folds are counted from 0; expected 0 to {folds - 1}."
        )
    if not 0 < val_fraction < 1:
        raise DermaSenseError(
            f"split.val_fraction={val_fraction} must be above 0 and below 1: early stopping needs "
            "images that are not judged."
        )
    parts = assign_folds(frame, class_names, folds=folds, seed=seed).map(
        lambda number: "test" if number == fold else "train"
    )
    others = parts == "train"
    parts[others] = assign_validation(frame[others], class_names, share=val_fraction, seed=seed)
    return parts.rename("split")


def assign_validation(
    frame: pd.DataFrame, class_names: Sequence[str], *, share: float, seed: int
) -> pd.Series:
    """Cut a validation part out of training rows, grouped and stratified.

    Args:
        frame: the rows to part.
        class_names: all classes, in the order of the logits.
        share: of the images of each class, above 0 and below 1.
        seed: same seed, same part; the order of the rows changes nothing.

    Returns:
        "train" or "val" with the index of `frame`.

    Raises:
        DermaSenseError: a bad share, or a class with fewer than two groups.
    """
    if not 0 < share < 1:
        raise DermaSenseError(f"split.val_share={share} must be above 0 and below 1.")
    parts = _assign(frame, class_names, np.array([1 - share, share]), seed=seed, by="group")
    return parts.map({0: "train", 1: "val"}).rename("split")


def leaking_groups(frame: pd.DataFrame, split: pd.Series) -> int:
    """Number of groups whose images stand in more than one split."""
    return len(_leaks(frame, split))


def assert_no_leak(
    frame: pd.DataFrame,
    split: pd.Series,
    hint: str = "take split=group, or split=image to reproduce the originals' leaky protocol",
) -> None:
    """Refuse a split that a group crosses.

    Args:
        frame: the rows.
        split: the part of each, same index.
        hint: what to do about it.

    Raises:
        DermaSenseError: names how many groups cross, and the first of them.
    """
    crossing = _leaks(frame, split)
    if crossing:
        n = len(crossing)
        raise DermaSenseError(
            f"{n} group{'s stand' if n > 1 else ' stands'} in more than one split "
            f"({'first: ' if n > SHOWN else ''}{', '.join(map(str, crossing[:SHOWN]))}); {hint}."
        )


def _leaks(frame: pd.DataFrame, split: pd.Series) -> list[str]:
    spread = split.groupby(frame["group"]).nunique()
    return spread.index[spread > 1].tolist()


def _assign(
    frame: pd.DataFrame, class_names: Sequence[str], shares: np.ndarray, *, seed: int, by: str
) -> pd.Series:
    check_choice("split.by", by, UNITS)
    if by == "image":
        keys = frame["image_id"]
        homes = pd.Series(frame["label"].to_numpy(), index=keys.to_numpy()).sort_index()
    else:
        keys = frame["group"]
        homes = home_class(frame, tuple(class_names))
    sizes = keys.value_counts()
    part: dict[str, int] = {}
    for index, name in enumerate(class_names):
        units = homes.index[homes == name].to_numpy()
        if len(units) < len(shares):
            raise DermaSenseError(
                f"class '{name}' has {len(units)} {by}s ({int((frame['label'] == name).sum())} "
                f"images), fewer than the {len(shares)} splits; add images from more {by}s, "
                "remove the class or ask for fewer splits."
            )
        rng = np.random.default_rng([seed, index])
        part.update(_hand_out(rng.permutation(units), sizes, shares))
    return keys.map(part).astype(np.int64)


def _hand_out(units: np.ndarray, sizes: pd.Series, shares: np.ndarray) -> dict[str, int]:
    """Whole units to parts, largest first, each to the part that is least full for its share.

    The rule is Sainte-Lague's (images so far + half of this unit, over the share): it keeps every
    part within about one unit of its share, and lesions with many photographs spread over the
    parts as the single ones do. The last units go to parts that are still empty.
    """
    counts = sizes.loc[units].to_numpy()
    order = np.argsort(-counts, kind="stable")  # stable: the shuffle decides among equals
    filled, used, part = np.zeros(len(shares)), np.zeros(len(shares), bool), {}
    for position, i in enumerate(order):
        score = (filled + counts[i] / 2) / shares
        if len(order) - position <= (~used).sum():
            score[used] = np.inf
        best = int(score.argmin())
        filled[best] += counts[i]
        used[best] = True
        part[units[i]] = best
    return part
