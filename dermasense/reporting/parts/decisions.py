"""What may be done with its answers: sets that hold the truth, an alarm, a referral."""

from collections.abc import Mapping
from typing import Any

from dermasense.reporting.markup import Html, el, joined, table, value_cell
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject

_HEAD = "If it may name several, or must not miss one"


def decisions(subject: Subject) -> Part | None:
    """Coverage and size of conformal sets, the alarm, the referral; all fitted on validation."""
    found = subject.metrics.get("decisions")
    if not found:
        return None
    sets = [found.get(name, {}) for name in ("lac", "class_conditional")]
    body = [el("p", el("small", reason)) for reason in _reasons(found)]
    if all("judged" in each for each in sets):
        body = [_sets(subject, *sets), *body]
    rules = [row for name in ("risk_control", "referral") for row in _rule(name, found)]
    if rules:
        caption = (
            "Two rules, chosen on validation and judged here. The alarm: a threshold on the summed "
            "probability of the classes that must not be missed. Referral: the least confidence "
            "at which the answered images of validation are right in 90 %."
        )
        head = ["rule", "asked for", "reached here", "n", "price"]
        body.append(table(head, rules, caption=caption, words=(1,)))
    return Part(_HEAD, joined(body)) if body else None


def _sets(subject: Subject, lac: Mapping[str, Any], own: Mapping[str, Any]) -> Html:
    alpha, lesions = lac["fitted"]["alpha"], lac["fitted"]["n"]
    rows = [["all", f"{subject.metrics['n']:,}", *_cells(lac["judged"], own["judged"])]]
    for name in subject.predictions.class_names:
        one, other = (each["judged"]["per_class"][name] for each in (lac, own))
        rows.append([name, f"{one['coverage']['n']:,}", *_cells(one, other)])
    for attribute, values in lac["judged"]["by_attribute"].items():
        if attribute.startswith(("skin_type", "fitzpatrick")):
            for value, one in values.items():
                other = own["judged"]["by_attribute"][attribute][value]
                n = f"{one['coverage']['n']:,}"
                rows.append([f"{attribute} {value}", n, *_cells(one, other)])
    always = own["judged"]["always"]
    more = f" For want of validation images always in: {', '.join(always)}." if always else ""
    caption = (
        f"Sets of classes that shall hold the true one in {100 * (1 - alpha):.0f} % of all lesions "
        "(LAC, the smallest such sets), or of the lesions of each class; thresholds from "
        f"{lesions:,} validation lesions, one image of each. Coverage: the share of sets that hold "
        f"it; size: how many classes a set names on average; both with 95 % interval.{more}"
    )
    head = ["true class", "n", "LAC: coverage", "size", "by class: coverage", "size"]
    return table(head, rows, caption=caption)


def _cells(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Html]:
    return [value_cell(each[key]) for each in (one, other) for key in ("coverage", "size")]


def _rule(name: str, found: Mapping[str, Any]) -> list[list[Html | str]]:
    each = found.get(name, {})
    if "judged" not in each:
        return []
    fitted, judged = each["fitted"], each["judged"]
    if name == "risk_control":
        asked = f"sensitivity ≥ {fitted['sensitivity']:g}, confidence {1 - fitted['delta']:g}"
        price = joined([el("span", "specificity "), value_cell(judged["specificity"])])
        words = f"alarm for {', '.join(fitted['classes'])} from {fitted['threshold']:.3f}"
        return [[words, asked, *_with_n(judged["sensitivity"]), price]]
    price = joined([el("span", "answered "), value_cell(judged["answered"])])
    words = f"answer from confidence {fitted['threshold']:.3f}"
    asked = f"accuracy {fitted['accuracy']:g}"
    return [[words, asked, *_with_n(judged["accuracy"]), price]]


def _with_n(metric: Mapping[str, Any]) -> list[Html | str]:
    return [value_cell(metric), f"{metric['n']:,}"]


def _reasons(found: Mapping[str, Any]) -> list[str]:
    reasons = [each["not_done"] for each in found.values() if "not_done" in each]
    return [f"Not done: {reason}" for reason in dict.fromkeys(reasons)]
