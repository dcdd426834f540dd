"""A page of its own in the looks of the report: parts in, one HTML file out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dermasense.files import write_text
from dermasense.reporting.markup import Html, el, joined
from dermasense.reporting.parts import Part
from dermasense.reporting.parts.opening import DEVICE
from dermasense.reporting.report import STYLE


def write_page(
    path: Path,
    title: str,
    opening: str,
    parts: Mapping[str, Part],
    notes: Sequence[str] = (),
    figures: Path | None = None,
) -> Path:
    """Write a page with a heading, an opening, a section a part, and notes at its foot.

    Args:
        path: the HTML file.
        title: of the page.
        opening: HTML below the title.
        parts: by anchor, in order.
        notes: sentences at the foot.
        figures: folder that gets every drawing of the parts as an SVG file; None for none.
    """
    links = [el("a", part.title, href=f"#{to}") for to, part in parts.items()]
    sections = [el("section", el("h2", part.title, id=to), part.body) for to, part in parts.items()]
    nav = el("nav", *links, aria_label="Contents")
    device = el("p", DEVICE, cls="device")
    main = el("main", el("h1", title), device, opening, nav, *sections)
    foot = el("footer", *[el("p", el("small", words)) for words in (*notes, DEVICE)])
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", Html(STYLE.read_text(encoding="utf-8"))),
    )
    page = el("html", head, el("body", joined([main, foot])), lang="en")
    write_text(path, f"<!doctype html>\n{page}\n")
    if figures is not None:
        for part in parts.values():
            for name, svg in part.figures.items():
                write_text(figures / f"{name}.svg", svg)
    return path
