"""ROC and precision-recall curves, one small drawing a class."""

from dermasense.evaluation.curves import Curve, class_curves
from dermasense.reporting.drawing import BLUE, GREY, Plot, thinned
from dermasense.reporting.markup import Html, el, joined
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject
from dermasense.reporting.tables import ends, number

_SIZE = (190, 200)
_TICKS = (0.0, 0.5, 1.0)


def curves(subject: Subject) -> Part:
    """Each class against the rest."""
    per_class = subject.metrics["per_class"]
    order = sorted(per_class, key=lambda name: -per_class[name]["n"])
    found = class_curves(subject.predictions)
    known = [(name, found[name]) for name in order if found[name] is not None]
    if not known:
        words = "No class has images on both sides, so that no curve is defined."
        return Part("ROC and precision-recall", el("p", words))
    roc = {f"roc_{name}": _roc(name, curve, per_class[name]) for name, curve in known}
    recall = {f"pr_{name}": _recall(name, curve, per_class[name], subject) for name, curve in known}
    body = [
        el(
            "p",
            "Each class against the rest. Above: images, area, 95 % interval. Dashed: a guess.",
        ),
        el("h3", "ROC"),
        el("div", *map(Html, roc.values()), cls="plots many-plots"),
        el("h3", "Precision and recall"),
        el("div", *map(Html, recall.values()), cls="plots many-plots"),
    ]
    return Part("ROC and precision-recall", joined(body), {**roc, **recall})


def _roc(name: str, curve: Curve, row: dict) -> str:
    words = f"{number(curve.auroc)} ({_brief(row['auroc'])})"
    plot = Plot(
        f"ROC curve of {name}: AUROC {words}, n = {curve.n}",
        size=_SIZE, xlabel="1 - specificity", ylabel="sensitivity",
        title=(_short(name), f"n = {curve.n:,}: {words}"), xticks=_TICKS, yticks=_TICKS,
    )  # fmt: skip
    plot.line([0, 1], [0, 1], GREY, dash="4 3", width=1)
    plot.line(*thinned(curve.false_positive_rate, curve.sensitivity), BLUE)
    return plot.svg()


def _recall(name: str, curve: Curve, row: dict, subject: Subject) -> str:
    words = f"{number(curve.average_precision)} ({_brief(row['average_precision'])})"
    plot = Plot(
        f"Precision-recall curve of {name}: average precision {words}, n = {curve.n}",
        size=_SIZE, xlabel="recall", ylabel="precision",
        title=(_short(name), f"n = {curve.n:,}: {words}"), xticks=_TICKS, yticks=_TICKS,
    )  # fmt: skip
    guess = curve.n / len(subject.predictions)
    plot.line([0, 1], [guess, guess], GREY, dash="4 3", width=1)
    plot.line(*thinned(curve.recall, curve.precision), BLUE)
    return plot.svg()


def _short(name: str, most: int = 25) -> str:
    """The drawing's alt text has the whole name."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _brief(metric: dict) -> str:
    return ends(metric, 2).replace(" to ", "-")
