"""HTML as nested calls: `el("td", "text", cls="num")`. Plain strings are escaped, always."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from dermasense.reporting.tables import NOT_DEFINED, ends, number

VOID = ("meta", "img", "br", "wbr")
STYLE = Path(__file__).resolve().parent / "report.css"


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def el(tag: str, *children: str | None, **attributes: str | int | None) -> Html:
    """An element. `cls` is `class`, other underscores become hyphens; None leaves a thing out."""
    words = [
        f' {("class" if name == "cls" else name.replace("_", "-"))}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    ]
    head = f"<{tag}{''.join(words)}>"
    return Html(head if tag in VOID else f"{head}{joined(children)}</{tag}>")


def joined(children: Sequence[str | None]) -> Html:
    """Children one after the other, plain strings escaped."""
    known = [child for child in children if child is not None]
    return Html("".join(c if isinstance(c, Html) else escape(str(c)) for c in known))


def breakable(name: str) -> Html:
    """A name that may go on in the next line after an underscore or a slash."""
    parts = re.split("(?<=[_/])", name)
    return joined([part for each in parts for part in (el("wbr"), each)][1:])


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    words: Sequence[int] = (),
    ours: bool = False,
    wide: bool = False,
) -> Html:
    """A table that scrolls inside its own box on a narrow screen.

    Args:
        head: column heads.
        rows: cells; the first of each row is its head.
        caption: what the table shows, read out by screen readers and shown above.
        words: columns of running text, set to the left like the first; others are numbers.
        ours: the first row is the model under judgement, and stands out.
        wide: the heads of rows are sentences.
    """

    def side(place: int) -> str | None:
        return None if place == 0 or place in words else "num"

    heads = [el("th", cell, scope="col", cls=side(i)) for i, cell in enumerate(head)]
    lines = [
        el(
            "tr",
            el("th", row[0], scope="row", cls="wide" if wide else None),
            *[el("td", cell, cls=side(i)) for i, cell in enumerate(row[1:], start=1)],
            cls="ours" if ours and place == 0 else None,
        )
        for place, row in enumerate(rows)
    ]
    inner = el("table", el("thead", el("tr", *heads)), el("tbody", *lines))
    return scroll(inner, caption)


def scroll(inner: str, caption: str) -> Html:
    """A box that scrolls sideways, reachable by keyboard, its caption above it.

    The caption is no <caption>: that would be as wide as the table, and be cut off with it.
    """
    box = el("div", inner, cls="scroll", role="region", tabindex=0, aria_label=caption)
    return el("div", el("p", caption, cls="caption"), box, cls="table")


def figure(svg: str, caption: str) -> Html:
    """A drawing (whose alt text it carries itself) with a caption."""
    return el("figure", Html(svg), el("figcaption", caption))


def value_cell(metric: dict | float | None, *, sign: bool = False) -> Html:
    """A number with its interval below it; `sign` as in `number`."""
    if not isinstance(metric, dict):
        return el("span", number(metric, sign=sign))
    if metric["value"] is None:
        return el("span", NOT_DEFINED, title="not defined on these images")
    interval = el("small", ends(metric))
    return joined([el("span", number(metric["value"], sign=sign)), el("br"), interval])


def difference_cell(metric: Mapping | None) -> Html | str:
    """A signed difference with its interval below it; a star where that excludes 0."""
    if metric is None or metric["value"] is None:
        return NOT_DEFINED
    value, low, high = (number(metric[key], sign=True) for key in ("value", "low", "high"))
    if metric["low"] is None:
        return value
    star = " *" if metric["low"] > 0 or metric["high"] < 0 else ""
    return joined([value + star, el("br"), el("small", f"{low} to {high}")])


def count(n: int, thing: str, things: str = "") -> str:
    """ "1 image", "1,502 images"; `things` is the plural where it does not end in s."""
    return f"{n:,} {thing if n == 1 else things or f'{thing}s'}"


def document(title: str, body: str, more_style: str = "") -> str:
    """A whole page in one file: no script, no network.

    Args:
        title: of the window.
        body: HTML.
        more_style: CSS of this page besides report.css.
    """
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", Html(STYLE.read_text(encoding="utf-8") + more_style)),
    )
    return f"<!doctype html>\n{el('html', head, el('body', body), lang='en')}\n"
