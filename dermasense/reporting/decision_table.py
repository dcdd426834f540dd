"""What a decision is worth, for a terminal: one line a number with its interval and n."""

from collections.abc import Mapping
from typing import Any

from dermasense.evaluation.protocol import is_leaky
from dermasense.reporting.tables import LEAKY_MEANS, aligned, number

WORDS = {
    "coverage": "sets that hold the true class",
    "size": "classes in a set, mean",
    "singletons": "sets of one class",
    "empty": "empty sets",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "alarms": "lesions with an alarm",
    "precision": "alarms that are right",
    "answered": "images answered",
    "accuracy": "accuracy of the answers",
    "accuracy_of_all": "accuracy without referral",
    "accuracy_of_referred": "accuracy on what is left to a person",
    "cost": "cost of an image, mean",
}


def text_table(result: Mapping[str, Any]) -> str:
    """Everything that was judged, as `decide` prints it.

    Args:
        result: an entry of decisions.json.
    """
    judged = result["judged"]
    rows = [_row(_named(key), each) for key, each in judged.items() if _is_interval(each)]
    for name, each in judged.get("per_class", {}).items():
        rows += _parts(name, each)
    for attribute, values in judged.get("by_attribute", {}).items():
        for value, each in values.items():
            rows += _parts(f"{attribute} {value}", each)
    lines = [
        f"protocol: {result['protocol']}" + (LEAKY_MEANS if is_leaky(result["protocol"]) else ""),
        f"{result['fitted']['name']}, fitted on {_fitted_on(result)} of validation, judged on "
        f"{result['n']:,} test images in {result['n_groups']:,} lesions or groups; calibration: "
        f"{result['calibration']}",
        settings_words(result["fitted"]),
        "",
        aligned(["", "value", "95 % interval", "n", "groups"], rows),
    ]
    if fell_short := _shortfall(result):
        lines.append(fell_short)
    if judged.get("always"):
        lines.append(f"in every set, for want of validation images: {', '.join(judged['always'])}")
    if "promised" in judged:
        lines.append(
            f"promised: a sensitivity of {judged['promised']:g} or more, with confidence "
            f"{1 - result['fitted']['delta']:g}, for images like those of validation"
        )
    if "area" in judged:
        lines.append(f"mean accuracy over all shares answered: {number(judged['area'])}")
    return "\n".join(lines + [f"note: {words}" for words in [result["note"]] if words])


def _fitted_on(result: Mapping[str, Any]) -> str:
    """Sets and alarms take one image a lesion, other methods every image."""
    if result["kind"] in ("set", "alarm"):
        return f"{result['fitted_on']['n_groups']:,} lesions or groups"
    return f"{result['fitted_on']['n']:,} images"


def _shortfall(result: Mapping[str, Any]) -> str:
    """What a calibration of many numbers costs a promise that stands on the same images."""
    many, kind = result["calibration_numbers"], result["kind"]
    if many == 1 or kind not in ("set", "alarm"):
        return ""
    what = "sets hold the true class" if kind == "set" else "alarms find the classes"
    return (
        f"caution: calibrate fits the {many} numbers of this calibration on the same validation "
        f"images as decide its own, so on new images {what} less often than asked for; a "
        "temperature, one number, keeps the promise"
    )


def _parts(name: str, each: Mapping[str, Any]) -> list[list[str]]:
    if _is_interval(each):
        return [_row(f"{name}: sensitivity", each)]
    return [_row(f"{name}: {_named(key)}", value) for key, value in each.items()]


def _row(name: str, metric: Mapping[str, Any]) -> list[str]:
    low, high = metric["low"], metric["high"]
    between = "-" if low is None else f"{low:.3f} to {high:.3f}"
    return [name, number(metric["value"]), between, f"{metric['n']:,}", f"{metric['n_groups']:,}"]


def _named(key: str) -> str:
    for end, words in (("_usual", ", most probable class"), ("_change", ", change")):
        if key.endswith(end):
            return WORDS[key.removesuffix(end)] + words
    return WORDS.get(key, key)


def settings_words(fitted: Mapping[str, Any]) -> str:
    """Options and fitted numbers of a method in words, such as "alpha 0.1, threshold 0.7753".

    Args:
        fitted: what its `as_dict` gave.
    """
    hidden = ("name", "class_names", "costs", "n")
    shown = {k: v for k, v in fitted.items() if k not in hidden and v is not None}
    words = [f"{key} {_short(value)}" for key, value in shown.items()]
    return ", ".join(words)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k or 'all'}: {_short(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)


def _is_interval(value: Any) -> bool:
    return isinstance(value, Mapping) and {"value", "low", "high", "n"} <= set(value)
