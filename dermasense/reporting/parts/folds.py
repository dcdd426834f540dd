"""What the folds and the repeats of a cross-validation say, each and together."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dermasense.reporting.drawing import BLUE, GREY, VERMILION, Plot
from dermasense.reporting.markup import el, figure, joined, table, value_cell
from dermasense.reporting.parts import Part
from dermasense.reporting.parts.opening import title
from dermasense.reporting.tables import number

_DRAWN = ("top1", "balanced_accuracy", "macro_f1")


def folds(metrics: Mapping) -> Part:
    """A row a fold, their spread, and the repeats where there are several.

    Args:
        metrics: of a cross-validation's metrics.json.
    """
    rows, several = metrics["folds"], len(metrics["repeats"]) > 1
    keys = list(metrics["spread"]["folds"])
    titles = [title(key) for key in keys]
    lines = [
        [
            f"{row['repeat']}.{row['fold']}" if several else f"fold {row['fold']}",
            f"{row['n']:,}",
            f"{row['n_groups']:,}",
            *[number(row[key]) for key in keys],
        ]
        for row in rows
    ]
    over = metrics["spread"]["folds"]
    lines.append(["mean", "", "", *[number(over[key]["mean"]) for key in keys]])
    lines.append(["sd", "", "", *[number(over[key]["sd"]) for key in keys]])
    caption = (
        "Each fold is judged by a model that did not train on it; the epoch was chosen by another "
        "part of the training lesions. Their sd is no standard error, since they share training "
        "images: trust the interval of all images together."
    )
    head = ["repeat.fold" if several else "", "n", "groups", *titles]
    drawing = _drawing(metrics)
    words = "Dots: folds. Bar: all images together, out of fold, with its 95 % interval."
    body = [*_repeats(metrics, keys, titles), table(head, lines, caption=caption)]
    body.append(el("div", figure(drawing, words), cls="plots"))
    return Part("Folds", joined(body), {"folds": drawing})


def _repeats(metrics: Mapping, keys: Sequence[str], titles: Sequence[str]) -> list:
    repeats = metrics["repeats"]
    if len(repeats) == 1:
        return []
    over, spread = metrics["over_repeats"], metrics["spread"]["repeats"]
    # With two classes a top-2 is not defined, and stands nowhere in `over`.
    cells = [value_cell(over[key]) if key in over else "" for key in keys]
    lines = [["all repeats", *cells]]
    lines += [
        [f"repeat {row['repeat']} (seed {row['seed']})", *[number(row[key]) for key in keys]]
        for row in repeats
    ]
    lines.append(["sd over repeats", *[number(spread[key]["sd"]) for key in keys]])
    caption = (
        f"All {metrics['n']:,} images out of fold, {len(repeats)} times. Intervals: bootstrap over "
        "groups, all repeats of a group together. The rest of this report is of repeat 0."
    )
    return [table(["", *titles], lines, caption=caption, ours=True)]


def _drawing(metrics: Mapping) -> str:
    whole = metrics["over_repeats"]
    values = [row[key] for row in metrics["folds"] for key in _DRAWN if row[key] is not None]
    values += [whole[key][end] for key in _DRAWN for end in ("low", "high") if whole[key][end]]
    low, high = math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10
    shown = "; ".join(f"{title(key)} {number(whole[key]['value'])}" for key in _DRAWN)
    plot = Plot(
        f"Folds beside all images together: {shown}", size=(440, 300), x=(0.4, 3.6),
        y=(low, high + (high - low) / 8),  # room for the names
        xticks=[], yticks=np.arange(round(10 * low), round(10 * high) + 1) / 10, title=[" "],
    )  # fmt: skip
    plot.uprights([(place + 0.72, title(key)) for place, key in enumerate(_DRAWN)])
    for place, key in enumerate(_DRAWN, start=1):
        each = [row[key] for row in metrics["folds"]]
        step = 0.3 / max(len(each) - 1, 1)
        plot.line(
            [place - 0.1 + step * i for i in range(len(each))], each, GREY, width=0, dots=True
        )
        if whole[key]["low"] is not None:
            plot.whisker(place + 0.35, whole[key]["low"], whole[key]["high"], BLUE)
        plot.line([place + 0.35], [whole[key]["value"]], VERMILION, dots=True)
    return plot.svg()
