"""A page of its own in the looks of the report: parts in, one HTML file out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dermasense.files import safe_names, write_text
from dermasense.reporting.markup import document, el, joined
from dermasense.reporting.parts import Part
from dermasense.reporting.parts.opening import DEVICE


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
    write_text(path, document(title, joined([main, foot])))
    if figures is not None:
        for part in parts.values():
            write_figures(figures, part)
    return path


def write_figures(folder: Path, part: Part) -> None:
    """Write the drawings of a part as SVG files."""
    names = safe_names(part.figures, empty="figure")
    for name, svg in zip(names, part.figures.values(), strict=True):
        write_text(folder / f"{name}.svg", svg)
