"""Parallel coordinates: an axis an option, a line a trial, ending at its score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import log
from statistics import median

from dermasense.reporting.drawing import GREY, PALE, VERMILION, framed
from dermasense.reporting.tables import number

# Stops of the map cividis, dark (worst) to light: all kinds of colour vision can order them.
_CIVIDIS = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866")
_HEIGHT, _TOP, _BOTTOM, _STEP, _SIDE = 330, 74, 300, 150, 100


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        name: above it.
        ticks: (place, words), places 0 (bottom) to 1.
        places: of the trials, in their order; None where a trial has no such option.
        values: numbers of the trials where the axis is one of numbers, else None.
        logarithmic: whether places follow the logarithm.
    """

    name: str
    ticks: tuple[tuple[float, str], ...]
    places: tuple[float | None, ...]
    values: tuple[float | None, ...] | None = None
    logarithmic: bool = False


def axis_of(name: str, words: Sequence[str | None]) -> Axis:
    """The axis of an option from the words that trials gave it.

    More than five different numbers make an axis of numbers; anything else one of words, in the
    order of first appearance, or of size where they are numbers.
    """
    known = list(dict.fromkeys(word for word in words if word is not None))
    numbers = [_number(word) for word in known]
    if len(known) > 5 and None not in numbers:
        return number_axis(name, [None if word is None else float(word) for word in words])
    if None not in numbers:
        known.sort(key=float)
    place = {word: (i + 0.5) / len(known) for i, word in enumerate(known)}
    ticks = tuple((place[word], word) for word in known)
    return Axis(name, ticks, tuple(None if word is None else place[word] for word in words))


def number_axis(name: str, values: Sequence[float | None], up: bool = True) -> Axis:
    """An axis of numbers; `up=False` puts the smallest on top.

    Over a decade or more it is logarithmic where that brings the middle trial to the middle.
    """
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    central = median(known)

    def share(value: float, scale: Callable[[float], float]) -> float:
        return (scale(value) - scale(low)) / (scale(high) - scale(low)) if high > low else 0.5

    wide = low > 0 and high / low >= 10
    logarithmic = wide and abs(share(central, log) - 0.5) < abs(share(central, float) - 0.5)

    def place(value: float) -> float:
        at = share(value, log if logarithmic else float)
        return at if up else 1 - at

    middle = (low * high) ** 0.5 if logarithmic else (low + high) / 2
    ends = [low] if high == low else [low, middle, high]
    ticks = tuple((place(value), f"{value:.3g}") for value in ends)
    places = tuple(None if value is None else place(value) for value in values)
    return Axis(name, ticks, places, tuple(values), logarithmic)


def parallel_coordinates(axes: Sequence[Axis], score: Axis, best: int) -> str:
    """The drawing, as SVG text.

    Args:
        axes: of the options.
        score: of the trials' scores, the better the higher; the last axis, and the colour.
        best: index of the best trial, drawn thick and last.
    """
    every = [*axes, score]
    width = 2 * _SIDE + _STEP * (len(every) - 1)
    across = [_SIDE + _STEP * i for i in range(len(every))]
    trials = range(len(score.places))
    order = sorted(trials, key=lambda i: (i == best, score.places[i]))
    lines = [_line(every, across, i, i == best) for i in order]
    words = score.ticks[-1][1] if score.values is None else number(score.values[best])
    alt = (
        f"Parallel coordinates of {len(score.places)} finished trials over "
        f"{', '.join(axis.name for axis in axes)}; the best, thick and red, has {words}."
    )
    title = _text(4, 16, f"{len(score.places)} finished trials", weight=600, ink="#1b1f24")
    key = _text(4, 33, "one line each; red, thick: the best; light lines are better than dark ones")
    parts = [title, key, *lines, *[_axis(a, x) for a, x in zip(every, across, strict=True)]]
    return framed(parts, (width, _HEIGHT), alt)


def _line(axes: Sequence[Axis], across: Sequence[int], trial: int, best: bool) -> str:
    points = [
        f"{x},{_down(axis.places[trial]):.1f}"
        for axis, x in zip(axes, across, strict=True)
        if axis.places[trial] is not None
    ]
    colour = VERMILION if best else _CIVIDIS[min(4, int(5 * axes[-1].places[trial]))]
    width, opacity = (3, 1) if best else (1.3, 0.75)
    return (
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" '
        f'stroke-width="{width}" stroke-opacity="{opacity}"/>'
    )


def _axis(axis: Axis, across: int) -> str:
    line = f'<path d="M{across} {_TOP}V{_BOTTOM}" stroke="{GREY}"/>'
    name = axis.name if not axis.logarithmic else f"{axis.name} (log)"
    head = _text(across, _TOP - 12, _cut(name, 24), anchor="middle", ink="#1b1f24", weight=600)
    ticks = []
    for place, words in axis.ticks:
        down, shown = _down(place), _cut(words, 18)
        wide = 6.4 * len(shown) + 4
        ticks.append(
            f'<path d="M{across - 3} {down:.1f}h6" stroke="{GREY}"/>'
            f'<rect x="{across + 5}" y="{down - 8:.1f}" width="{wide:.0f}" height="16" '
            f'fill="white" fill-opacity="0.8" stroke="{PALE}" stroke-width="0.5"/>'
            + _text(across + 7, down + 4, shown, ink="#1b1f24")
        )
    return line + head + "".join(ticks)


def _text(
    across: float,
    down: float,
    words: str,
    *,
    anchor: str = "start",
    ink: str = GREY,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{across}" y="{down:.1f}" text-anchor="{anchor}" fill="{ink}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )


def _down(place: float) -> float:
    return _BOTTOM - place * (_BOTTOM - _TOP)


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"…{words[-most + 1 :]}"


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
