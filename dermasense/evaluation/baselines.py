"""What a model must beat: answers that look at no picture, judged on the same labels.

On HAM10000 "always nv" is right on 67 % of images and "nv or mel" on 78 %, so a top-1 or top-2
alone says little; every table of results shows these rows beside the model's.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dermasense.errors import DermaSenseError
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.protocol import GROUPED


def baselines(
    labels: Sequence[int], class_names: Sequence[str], counts: Sequence[int] | None = None
) -> dict[str, dict]:
    """The rows that stand beside a model's, name -> metrics under the names of `summarise`.

    Args:
        labels: class indices that the model is judged on, shape (N,).
        class_names: the C classes.
        counts: training images a class, shape (C,), from which the answers are chosen; without
            them the labels themselves, which can only raise the baselines.

    Returns:
        "always nv, then mel" (its first answer, and the second of its top 2; its probabilities are
        the class shares) and "stratified chance".

    Raises:
        DermaSenseError: fewer than two classes, no labels, or counts that are all 0 or not one a
            class.
    """
    if len(class_names) < 2:
        raise DermaSenseError(f"One class ({', '.join(class_names)}) leaves nothing to tell apart.")
    labels = np.asarray(labels, dtype=np.int64)
    shares = class_shares(labels, class_names, counts)
    first, second = np.argsort(-shares, kind="stable")[:2]
    return {
        f"always {class_names[first]}, then {class_names[second]}": constant(
            labels, class_names, shares
        ),
        "stratified chance": stratified_chance(labels, shares),
    }


def class_shares(
    labels: np.ndarray, class_names: Sequence[str], counts: Sequence[int] | None = None
) -> np.ndarray:
    """Shares of the classes, shape (C,), from training counts or else from the labels."""
    if counts is None:
        counts = np.bincount(labels, minlength=len(class_names))
    amount = np.asarray(counts, dtype=np.float64)
    if amount.shape != (len(class_names),) or amount.min() < 0 or amount.sum() == 0:
        raise DermaSenseError(
            f"The class counts {list(counts)} do not fit the classes {', '.join(class_names)}; "
            "give one count a class, not all 0."
        )
    return amount / amount.sum()


def constant(labels: np.ndarray, class_names: Sequence[str], shares: np.ndarray) -> dict:
    """Metrics of the class shares as the answer to every image.

    A class without training images gets half a millionth, so that its log stays finite.
    """
    rows = [str(row) for row in range(len(labels))]
    names = [class_names[label] for label in labels]
    frame = pd.DataFrame({"image_id": rows, "group": rows, "label": names})
    logits = np.tile(np.log(np.maximum(shares, 5e-7)), (len(labels), 1))
    summary = summarise(Predictions(frame, logits, tuple(class_names)), split_protocol=GROUPED)
    # A blind answer leaks nothing and knows no groups.
    return {key: value for key, value in summary.items() if key not in ("protocol", "n_groups")}


def stratified_chance(labels: np.ndarray, shares: np.ndarray) -> dict:
    """Expected metrics of a guess drawn from the class shares, blind to the image.

    Exact for top1, top2 (a second guess is drawn from the other classes), balanced_accuracy and
    kappa; for the F1 scores, precision is the class's share of labels and recall its share of
    guesses (the limit of many images). It gives no probabilities: nll, brier and ece are None.
    """
    counts = np.bincount(labels, minlength=len(shares))
    there = counts / counts.sum()
    right = float(there @ shares)
    both = there + shares
    f1 = np.divide(2 * there * shares, both, out=np.zeros_like(shares), where=both > 0)
    several = (counts > 0).sum() > 1
    return {
        "n": len(labels),
        "top1": right,
        "top2": float(there @ _in_two_guesses(shares)) if len(shares) > 2 else None,
        "balanced_accuracy": float(shares[counts > 0].mean()),
        "macro_f1": float(f1[both > 0].mean()),
        "micro_f1": right,
        "weighted_f1": float(there @ f1),
        "kappa": 0.0 if several else None,
        "auroc_macro": 0.5 if several else None,
        "nll": None,
        "brier": None,
        "ece": None,
    }


def _in_two_guesses(shares: np.ndarray) -> np.ndarray:
    """Probability of each class to be among two guesses without repetition, shape (C,)."""
    others = np.divide(shares, 1 - shares, out=np.zeros_like(shares), where=shares < 1)
    return shares + shares * (others.sum() - others)
