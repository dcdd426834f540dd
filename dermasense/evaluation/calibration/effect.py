"""What a calibrator does to another table: before, after and the paired difference."""

import numpy as np
from scipy.special import softmax

from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.calibration import Calibrator
from dermasense.evaluation.calibration.scores import ece_by_chance
from dermasense.evaluation.compare import differences
from dermasense.evaluation.decisions.shares import Ratios
from dermasense.evaluation.fairness.audit import LEAST
from dermasense.evaluation.fairness.bands import banded_attributes
from dermasense.evaluation.predictions import Predictions

LEVEL = 0.95
# Prices of a wrong confidence, then what a method that moves classes may cost.
SCORES = ("nll", "brier", "ece", "ece_equal_mass", "top1", "balanced_accuracy", "macro_f1")


def effect(
    fitted: Calibrator, test: Predictions, *, resamples: int = 2000, seed: int = 0
) -> dict[str, dict]:
    """A fitted calibrator judged on images that it has not seen.

    Args:
        fitted: by its validation table.
        test: the images to judge by.
        resamples, seed: of the bootstrap over groups.

    Returns:
        before, after, change {metric: interval} with the paired difference after minus before
        (before and after hold ece_by_chance too);
        classes and groups: what is left, {name: {n, before, after, corrected}} with the interval of
        mean predicted probability minus share (of a class), and of mean confidence minus accuracy
        (of the images of a value of an attribute); `corrected` is `after` at the level 1 - .05 / m
        of m classes or m groups (Bonferroni); answers_changed, a share.
    """
    options = {"resamples": resamples, "seed": seed, "ranking": False}
    after = fitted.apply(test).in_order(test.class_names)
    found = {
        "before": intervals(test, **options),
        "after": intervals(after, **options),
        "change": differences(test, after, **options),
    }
    result: dict[str, dict] = {
        key: {name: each[name].as_dict() for name in SCORES} for key, each in found.items()
    }
    for key, table in (("before", test), ("after", after)):
        result[key]["ece_by_chance"] = ece_by_chance(table, seed=seed).as_dict()
    ratio = Ratios(test.groups, min(resamples, 1000), seed)
    p = {"before": _p(test), "after": _p(after)}
    changed = p["before"].argmax(axis=1) != p["after"].argmax(axis=1)
    result["answers_changed"] = ratio(changed).as_dict()
    gap = {k: v.max(axis=1) - (v.argmax(axis=1) == test.labels) for k, v in p.items()}
    classes = {
        name: (own, np.ones(len(test)), {k: v[:, code] - own for k, v in p.items()})
        for code, name in enumerate(test.class_names)
        for own in [test.labels == code]
    }
    groups = {f"{name} {value}": (own, own, gap) for name, value, own in _values(test)}
    for key, part in (("classes", classes), ("groups", groups)):
        result[key] = {}
        for name, (own, among, off) in part.items():
            result[key][name] = {"n": int(own.sum())} | {
                what: ratio(off[k] * among, among, share=False, level=level).as_dict()
                for what, k, level in (
                    ("before", "before", LEVEL),
                    ("after", "after", LEVEL),
                    ("corrected", "after", 1 - (1 - LEVEL) / len(part)),
                )
            }
    return result


def left_over(found: dict[str, dict]) -> list[str]:
    """Sentences on what the calibration did not mend: corrected intervals that leave out 0.

    Without the correction 60 of 100 faultless models of seven classes would show something.
    """
    words = []
    for part, what, over, under in (
        ("classes", "is predicted", "more often than it occurs", "less often than it occurs"),
        ("groups", "is answered", "too sure", "too modestly"),
    ):
        for name, each in found[part].items():
            after = each["corrected"]
            if after["low"] is None or after["low"] <= 0 <= after["high"]:
                continue
            way = over if after["value"] > 0 else under
            words.append(
                f"{name} {what} {way}: {after['value']:+.3f} "
                f"({after['low']:+.3f} to {after['high']:+.3f}, n = {each['n']:,})"
            )
    return words


def _p(table: Predictions) -> np.ndarray:
    return softmax(table.logits.astype(np.float64), axis=1)


def _values(table: Predictions):
    for name, words in banded_attributes(table.frame):
        counts = words.value_counts()
        for value in sorted(counts.index[counts >= LEAST]):
            yield name, value, (words == value).to_numpy()
