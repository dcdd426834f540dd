"""Figures of a run. Each function returns a matplotlib Figure and touches no global state.

Colours are those of Okabe and Ito (2008) and the map cividis, which all kinds of colour vision can
tell apart; nothing is told by colour alone. matplotlib is imported when a figure is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dermasense.evaluation.metrics import confidence_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#6B6B6B"
PLAIN = {"parse_math": False}  # of texts with class names: between two $ may stand anything


def confusion_figure(
    matrix: Sequence[Sequence[int]], class_names: Sequence[str], title: str = ""
) -> Figure:
    """Confusion matrix: colour is the share of the true class, the number in a cell the images.

    Args:
        matrix: counts, shape (C, C), true class by row.
        class_names: C names.
        title: say "leaky" here where it is.
    """
    counts = np.asarray(matrix)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    classes = len(class_names)
    side = max(4.5, (0.62 if classes <= 10 else 0.45) * classes + 2.0)
    figure, axes = _figure(side + 0.8, side)
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    small = 9 if classes <= 10 else 7
    for row, column in np.argwhere(counts > 0):
        # cividis is dark below and light above: text must stand out on both.
        ink = "black" if share[row, column] > 0.55 else "white"
        axes.text(
            column, row, str(counts[row, column]), ha="center", va="center", color=ink, size=small
        )
    names = [f"{name} ({n})" for name, n in zip(class_names, total[:, 0], strict=True)]
    slanted = {"rotation": 45, "ha": "right"}
    axes.set_xticks(range(classes), list(class_names), size=small, **slanted, **PLAIN)
    axes.set_yticks(range(classes), names, size=small, **PLAIN)
    axes.set(xlabel="answer", ylabel="true class (n)", title=title)
    return figure


def contact_sheet(
    images: np.ndarray, titles: Sequence[str] = (), columns: int = 8, title: str = ""
) -> Figure:
    """Pictures side by side, row by row.

    Args:
        images: uint8, shape (n, H, W, 3).
        titles: a few words an image, or none.
        columns: pictures in a row.
        title: of the whole sheet.
    """
    count = len(images)
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    figure, grid = _figure(1.5 * columns, 1.7 * rows, rows, columns)
    for place, axes in enumerate(np.ravel(grid)):
        axes.set_axis_off()
        if place < count:
            axes.imshow(images[place])
        if place < min(count, len(titles)):
            axes.set_title(titles[place], size=8, **PLAIN)
    if title:
        figure.suptitle(title)
    return figure


def reliability_figure(
    confidence: np.ndarray, right: np.ndarray, bins: int = 15, title: str = ""
) -> Figure:
    """Reliability diagram: accuracy against confidence in equal-width bins, and how many are where.

    Args:
        confidence: probability of the answer, shape (N,).
        right: whether the answer was right, shape (N,).
        bins: as many as the ECE has.
        title: say the ECE and n here.
    """
    confidence, right = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    which = confidence_bins(confidence, bins)
    count = np.bincount(which, minlength=bins)
    mean = [
        np.bincount(which, values, bins) / np.maximum(count, 1) for values in (confidence, right)
    ]
    some = count > 0
    figure, (upper, lower) = _figure(5, 6, 2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfect calibration")
    upper.plot(mean[0][some], mean[1][some], color=BLUE, marker="o", label="model")
    upper.set(ylabel="accuracy", ylim=(0, 1), title=title)
    upper.legend(loc="upper left", frameon=False)
    edges = np.linspace(0, 1, bins + 1)
    lower.bar(edges[:-1], count, width=1 / bins, align="edge", color=BLUE, edgecolor="white")
    lower.set(xlabel="confidence of the answer", ylabel="images", xlim=(0, 1))
    return figure


def class_figure(per_class: Mapping[str, Mapping], title: str = "") -> Figure:
    """Precision, recall and F1 of every class as bars, most images on top; a gap is not defined.

    Args:
        per_class: name -> precision, recall, f1 (None where not defined) and n, as in metrics.json.
        title: of the figure.
    """
    classes = sorted(per_class.items(), key=lambda item: item[1]["n"])
    figure, axes = _figure(6.5, max(3.0, 0.55 * len(classes) + 1.2))
    for place, (key, colour, hatch) in enumerate(
        [("f1", GREEN, ""), ("recall", ORANGE, "//"), ("precision", BLUE, "..")]
    ):
        values = [np.nan if row[key] is None else row[key] for _, row in classes]
        at = np.arange(len(classes)) + (place - 1) * 0.27
        axes.barh(at, values, height=0.25, color=colour, hatch=hatch, edgecolor="white", label=key)
    names = [f"{name} (n={row['n']})" for name, row in classes]
    axes.set_yticks(range(len(classes)), names, **PLAIN)
    axes.set(xlim=(0, 1), xlabel="score", title=title)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False
    )
    return figure


def _figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options
) -> tuple[Figure, Axes | np.ndarray]:
    """A figure on its own canvas: pyplot would keep a global list of them, and ask for a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)
