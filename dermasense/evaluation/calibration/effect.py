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
        classes and groups: what is left, {name: {before, after}} with the interval of mean
        predicted probability minus share (of a class), and of mean confidence minus accuracy (of
        the images of a value of an attribute); answers_changed, a share.
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
    result["classes"] = {
        name: {
            "n": int((test.labels == code).sum()),
            **{k: ratio(v[:, code] - (test.labels == code), share=False) for k, v in p.items()},
        }
        for code, name in enumerate(test.class_names)
    }
    result["groups"] = {}
    gap = {k: v.max(axis=1) - (v.argmax(axis=1) == test.labels) for k, v in p.items()}
    for attribute, value, own in _values(test):
        result["groups"][f"{attribute} {value}"] = {
            "n": int(own.sum()),
            **{k: ratio(v * own, own, share=False) for k, v in gap.items()},
        }
    for part in (result["classes"], result["groups"]):
        for each in part.values():
            each |= {key: each[key].as_dict() for key in ("before", "after")}
    return result


def left_over(found: dict[str, dict]) -> list[str]:
    """Sentences on what the calibration did not mend: intervals that leave out 0 afterwards."""
    words = []
    for part, what, over, under in (
        ("classes", "is predicted", "more often than it occurs", "less often than it occurs"),
        ("groups", "is answered", "too sure", "too modestly"),
    ):
        for name, each in found[part].items():
            after = each["after"]
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
