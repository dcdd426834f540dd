"""Small line plots as SVG text: sharp in print, a few kilobytes each, their words stay words.

Colours are those of Okabe and Ito (2008); lines differ in dash as well as in colour.
"""

from collections.abc import Sequence
from html import escape

import numpy as np

BLUE, VERMILION, GREEN, GREY, PALE = "#0072B2", "#B84E00", "#00704F", "#57606a", "#d0d7de"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_RIGHT, _BOTTOM = 12, 40
SMALL = 220  # below this width a title needs all of it


def framed(parts: Sequence[str], size: tuple[int, int], alt: str) -> str:
    """A whole drawing, as SVG text.

    Args:
        parts: its elements, the first undermost.
        size: width and height in pixels.
        alt: what it shows, in a sentence, for those who do not see it.
    """
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" font-family="{_FONT}" font-size="12">'
        f"<title>{escape(alt)}</title>{''.join(parts)}</svg>"
    )


class Plot:
    """Axes with lines, bands, bars and points on them.

    Args:
        alt: what the drawing shows, in a sentence, for those who do not see it.
        size: width and height in pixels.
        x, y: ends of the axes.
        xlabel, ylabel: what the axes are, "" for none.
        title: one or two lines above, none if empty.
        xticks, yticks: places of the ticks; five even ones unless given.
    """

    def __init__(
        self,
        alt: str,
        *,
        size: tuple[int, int] = (340, 290),
        x: tuple[float, float] = (0.0, 1.0),
        y: tuple[float, float] = (0.0, 1.0),
        xlabel: str = "",
        ylabel: str = "",
        title: Sequence[str] = (),
        xticks: Sequence[float] | None = None,
        yticks: Sequence[float] | None = None,
    ):
        self.alt, self.size, self.x, self.y = alt, size, x, y
        self._left = 44 if size[0] < SMALL else 54  # small ones have short ticks
        self._top = 10 + 16 * len(title)
        self._parts: list[str] = []
        self._axes(xlabel, ylabel, title, xticks, yticks)

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        colour: str = BLUE,
        *,
        dash: str = "",
        width: float = 2,
        dots: bool = False,
    ) -> None:
        """A line through the points that are numbers."""
        points = self._points(xs, ys)
        style = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"'
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(f'<polyline points="{" ".join(points)}" {style}{dashes}/>')
        if dots:
            for point in points:
                across, down = point.split(",")
                self._parts.append(f'<circle cx="{across}" cy="{down}" r="3" fill="{colour}"/>')

    def band(
        self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str = BLUE
    ) -> None:
        """A pale area between two lines."""
        points = self._points(xs, low) + self._points(xs, high)[::-1]
        style = f'fill="{colour}" fill-opacity="0.18" stroke="none"'
        self._parts.append(f'<polygon points="{" ".join(points)}" {style}/>')

    def whisker(self, x: float, low: float, high: float, colour: str = BLUE) -> None:
        """A vertical line from low to high."""
        across, top, bottom = self._across(x), self._down(high), self._down(low)
        self._parts.append(
            f'<path d="M{across:.1f} {bottom:.1f}V{top:.1f}" stroke="{colour}" stroke-width="1.5"/>'
        )

    def bars(self, edges: Sequence[float], heights: Sequence[float], colour: str = BLUE) -> None:
        """Bars between K + 1 edges, from the lower end of the y axis."""
        base = self._down(self.y[0])
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            across, wide = self._across(left), self._across(right) - self._across(left)
            tall = base - self._down(height)
            if tall > 0:
                self._parts.append(
                    f'<rect x="{across + 0.5:.1f}" y="{base - tall:.1f}" width="{wide - 1:.1f}" '
                    f'height="{tall:.1f}" fill="{colour}"/>'
                )

    def uprights(self, places: Sequence[tuple[float, str]]) -> None:
        """Thin vertical lines with words at their tops, one row lower where they would collide."""
        ends: list[float] = []
        for x, words in places:
            across = self._across(x)
            self._parts.append(
                f'<path d="M{across:.1f} {self._top}V{self._down(self.y[0]):.1f}" stroke="{GREY}" '
                'stroke-dasharray="2 3"/>'
            )
            width = 6.2 * len(words)
            start = min(across + 4, self.size[0] - _RIGHT - width)
            row = next((row for row, end in enumerate(ends) if end < start), len(ends))
            ends[row : row + 1] = [start + width + 4]
            self._text(start, self._top + 11 + 12 * row, words, size=11)

    def key(self, across: float, words: str, colour: str, dash: str = "") -> None:
        """What a line means, at the top of the drawing, so many pixels from its left side."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<path d="M{across} 12h24" stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        self._text(across + 29, 16, words, colour=colour)

    def words(self, x: float, y: float, words: str, anchor: str = "start") -> None:
        """Words at a place of the axes, in the middle of their height."""
        self._text(self._across(x), self._down(y) + 4, words, anchor)

    def svg(self) -> str:
        """The drawing, for a page or for a file of its own."""
        return framed(self._parts, self.size, self.alt)

    def _axes(self, xlabel: str, ylabel: str, title: Sequence[str], xticks, yticks) -> None:
        width, height = self.size
        base, right = height - _BOTTOM, width - _RIGHT
        start = 4 if width < SMALL else self._left
        for line, words in enumerate(title):
            weight = "" if line else ' font-weight="600"'
            self._text(start, 16 + 16 * line, words, colour="#1b1f24", more=weight)
        for tick in np.linspace(*self.x, 5) if xticks is None else xticks:
            across = self._across(tick)
            self._parts.append(f'<path d="M{across:.1f} {self._top}V{base}" stroke="{PALE}"/>')
            self._text(across, base + 15, _tick(tick), "middle")
        for tick in np.linspace(*self.y, 5) if yticks is None else yticks:
            down = self._down(tick)
            self._parts.append(f'<path d="M{self._left} {down:.1f}H{right}" stroke="{PALE}"/>')
            self._text(self._left - 5, down + 4, _tick(tick), "end")
        self._text((self._left + right) / 2, height - 6, xlabel, "middle")
        middle = (self._top + base) / 2
        self._text(12, middle, ylabel, "middle", more=f' transform="rotate(-90 12 {middle:.0f})"')

    def _text(
        self,
        across: float,
        down: float,
        words: str,
        anchor: str = "start",
        colour: str = GREY,
        size: int = 12,
        more: str = "",
    ) -> None:
        if words:
            self._parts.append(
                f'<text x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}" fill="{colour}" '
                f'font-size="{size}"{more}>{escape(words)}</text>'
            )

    def _points(self, xs: Sequence[float], ys: Sequence[float]) -> list[str]:
        pairs = zip(xs, ys, strict=True)
        known = [(x, y) for x, y in pairs if x is not None and y is not None and y == y]
        return [f"{self._across(x):.1f},{self._down(y):.1f}" for x, y in known]

    def _across(self, x: float) -> float:
        span = self.size[0] - self._left - _RIGHT
        return self._left + span * (x - self.x[0]) / (self.x[1] - self.x[0])

    def _down(self, y: float) -> float:
        span = self.size[1] - _BOTTOM - self._top
        y = min(max(y, self.y[0]), self.y[1])
        return self._top + span * (1 - (y - self.y[0]) / (self.y[1] - self.y[0]))


def thinned(xs: np.ndarray, ys: np.ndarray, most: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """At most so many points of a line, even steps of its length apart, its ends kept.

    Not even steps of the points: of a curve of a rare class most points lie where it hardly moves.
    """
    if len(xs) <= most:
        return xs, ys
    length = np.cumsum(np.abs(np.diff(xs, prepend=xs[0])) + np.abs(np.diff(ys, prepend=ys[0])))
    keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)))
    return xs[keep], ys[keep]


def whisker_cell(metric: dict, width: int = 120) -> str:
    """A value and its interval on a line from 0 to 1, for a cell of a table; "" if not defined."""
    if metric["value"] is None:
        return ""
    at = 4 + (width - 8) * metric["value"]
    line = ""
    if metric["low"] is not None:
        low, high = (4 + (width - 8) * metric[end] for end in ("low", "high"))
        line = f'<path d="M{low:.1f} 8H{high:.1f}" stroke="{BLUE}" stroke-width="3"/>'
    return (
        f'<svg viewBox="0 0 {width} 16" width="{width}" height="16" aria-hidden="true">'
        f'<path d="M4 8H{width - 4}" stroke="{PALE}"/>{line}'
        f'<circle cx="{at:.1f}" cy="8" r="4" fill="{BLUE}"/></svg>'
    )


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
