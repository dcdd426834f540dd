"""Can its confidence be believed, and what if it may leave the unsure ones to a person?"""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from dermasense.evaluation.bootstrap import wilson
from dermasense.evaluation.calibration.temperature import HIGHEST, LOWEST
from dermasense.evaluation.metrics import confidence_bins
from dermasense.evaluation.predictions import Predictions
from dermasense.reporting.drawing import BLUE, GREY, Plot
from dermasense.reporting.markup import Html, el, figure, joined, table, value_cell
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject
from dermasense.reporting.tables import number

_BINS = 15


def reliability(subject: Subject) -> Part:
    """Accuracy against confidence, and the scores that price a wrong confidence."""
    metrics = subject.metrics
    drawing, histogram = reliability_drawings(subject.predictions, metrics["ece"]["value"])
    head = ["", "NLL", "Brier", "ECE", "ECE by chance"]
    keys = ("nll", "brier", "ece", "ece_by_chance")
    row = ["as predicted", *[value_cell(metrics[key]) for key in keys]]
    rows, after = [row], metrics.get("after_temperature")
    if after:
        name = f"after temperature {after['temperature']:.2f} (fitted on validation)"
        rows.append([name, *[value_cell(after[key]) for key in keys]])
    caption = (
        f"n = {metrics['n']:,} images; of NLL, Brier and ECE, lower is better. NLL: mean of -log "
        "of the probability that the true class was given, 0 at best. Brier: mean squared distance "
        "of the probabilities from the truth, 0 to 2. ECE: how far confidence and accuracy lie "
        f"apart, on average over {_BINS} bins of equal width; with bins of equally many images it "
        f"is {number(metrics['ece_equal_mass']['value'])}. By chance: the ECE of a model whose "
        "confidences are all true, on so many images; it is never 0."
    )
    words = (
        "Above the dashed line the model is too modest, below it too sure. Whiskers: 95 % interval "
        "of the accuracy in a bin (Wilson, by the groups in it)."
    )
    edges = []
    if after and after["at_bound"]:
        edges = unsettled(after.get("temperatures", [after["temperature"]]))
    body = [
        table(head, rows, caption=caption),
        *[el("p", each, cls="warning") for each in edges],
        el(
            "div",
            figure(drawing, words),
            figure(histogram, "How many answers came with how much confidence."),
            cls="plots",
        ),
    ]
    figures = {"reliability": drawing, "confidence": histogram}
    return Part("Can its confidence be believed", joined(body), figures)


def referral(subject: Subject) -> Part:
    """Accuracy against the share of images answered."""
    curve = subject.metrics["coverage"]
    share, accuracy = curve["share"], curve["accuracy"]
    floor = _floor([*accuracy, *[each for each in curve["low"] if each is not None]])
    plot = Plot(
        "Accuracy against the share of images answered, the surest first: "
        + ", ".join(f"{accuracy[i]:.3f} at {100 * share[i]:.0f} %" for i in _some(share)),
        size=(440, 300), x=(0, 1), y=(floor, 1), xlabel="share of images answered",
        ylabel="accuracy among them",
    )  # fmt: skip
    if curve["low"][0] is not None:
        plot.band(share, curve["low"], curve["high"])
    plot.line(share, accuracy, BLUE, dots=len(share) <= 25)
    rows = [
        [
            f"{100 * share[i]:.0f} %",
            number(accuracy[i]),
            _ends(curve, i),
            f"{curve['threshold'][i]:.3f}",
        ]
        for i in _some(share)
    ]
    caption = (
        f"If only the surest share of the {curve['n']:,} images is answered and the rest is left "
        f"to a person. Mean accuracy over all shares: {number(curve['area'])}."
    )
    head = ["answered", "accuracy", "95 % interval", "least confidence"]
    note = (
        "A threshold belongs to validation images; this curve is what each would have done here. "
        "The band is a bootstrap over groups, point by point."
    )
    body = [
        el("div", figure(plot.svg(), note), table(head, rows, caption=caption), cls="plots"),
    ]
    return Part("If it may leave some to a person", joined(body), {"referral": plot.svg()})


def reliability_drawings(predictions: Predictions, ece: float) -> tuple[str, str]:
    """Reliability diagram and histogram of the confidence, as SVG; `ece` is for their words."""
    probabilities = softmax(predictions.logits.astype(float), axis=1)
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == predictions.labels).astype(float)
    which = confidence_bins(confidence, _BINS)
    count = np.bincount(which, minlength=_BINS)
    some = np.flatnonzero(count)
    mean, hits = (np.bincount(which, v, _BINS)[some] / count[some] for v in (confidence, right))
    plot = Plot(
        f"Reliability diagram, {len(predictions)} images, ECE {ece:.3f}",
        size=(340, 300), xlabel="confidence of the answer", ylabel="accuracy",
    )  # fmt: skip
    plot.line([0, 1], [0, 1], GREY, dash="4 3", width=1.5)
    for bin_, x, y in zip(some, mean, hits, strict=True):
        groups = len(np.unique(predictions.groups[which == bin_]))
        plot.whisker(x, *wilson(float(y), groups))
    plot.line(mean, hits, BLUE, dots=True)
    most = _round_up(int(count.max()))
    bars = Plot(
        f"Histogram of the confidence of {len(predictions)} answers",
        size=(340, 300), y=(0, most), xlabel="confidence of the answer", ylabel="images",
        yticks=[most * part for part in ((0, 0.5, 1) if most % 2 == 0 else (0, 1))],
    )  # fmt: skip
    bars.bars(np.linspace(0, 1, _BINS + 1), count)
    return plot.svg(), bars.svg()


def unsettled(temperatures: Sequence[float]) -> list[str]:
    """Why validation does not settle the temperature, where a fit says so, a sentence a reason.

    Args:
        temperatures: one, or one a fold, of which one at least is not settled.
    """
    return at_edge(temperatures) or [
        "No temperature fits validation images better than another: the model gives all classes "
        "of an image the same share."
    ]


def at_edge(temperatures: Sequence[float]) -> list[str]:
    """What it means that temperatures ended at the edge of what is allowed, a sentence an edge.

    Args:
        temperatures: one, or one a fold; those that lie between the edges say nothing here.
    """
    words = []
    if max(temperatures) > 0.99 * HIGHEST:
        words.append(
            "The temperature is at the upper edge of what is allowed: on validation images the "
            "confidence of the model says nearly nothing about whether it is right."
        )
    if min(temperatures) < 1.01 * LOWEST:
        words.append(
            "The temperature is at the lower edge of what is allowed: validation is too easy, so "
            "it does not settle how sure the model may be."
        )
    return words


def _round_up(most: int) -> int:
    """The next of 2, 4, 6, 8, 10, 20, 40, ... that is not below."""
    power = 10 ** max(len(str(most)) - 1, 0)
    return next(k * power for k in (1, 2, 4, 6, 8, 10) if k * power >= max(most, 2))


def _floor(values: list[float]) -> float:
    return max(0.0, np.floor(min(values) * 5 - 1e-9) / 5) if min(values) < 1 else 0.8


def _some(share: list[float]) -> list[int]:
    """Where to read the curve: nearest to 20, 40, 60, 80 and 100 %."""
    places = [int(np.argmin(np.abs(np.array(share) - at))) for at in (0.2, 0.4, 0.6, 0.8, 1.0)]
    return sorted(set(places))


def _ends(curve: dict, i: int) -> Html | str:
    low, high = curve["low"][i], curve["high"][i]
    return "no interval" if low is None else f"{low:.3f} to {high:.3f}"
