"""The report: one HTML file that needs nothing beside it, no script and no network."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dermasense.files import safe_names, write_text
from dermasense.reporting.markup import Html, breakable, document, el, joined
from dermasense.reporting.page import write_figures
from dermasense.reporting.parts import Part
from dermasense.reporting.parts.classes import classes, confusion
from dermasense.reporting.parts.comparison import comparison
from dermasense.reporting.parts.confidence import referral, reliability
from dermasense.reporting.parts.curves import curves
from dermasense.reporting.parts.decisions import decisions
from dermasense.reporting.parts.groups import groups
from dermasense.reporting.parts.looked import looked
from dermasense.reporting.parts.mistakes import mistakes
from dermasense.reporting.parts.opening import DEVICE, beside, opening
from dermasense.reporting.parts.training import configuration, training
from dermasense.reporting.subject import Subject

PARTS: tuple[Callable[[Subject], Part | None], ...] = (
    beside,
    confusion,
    classes,
    curves,
    reliability,
    referral,
    decisions,
    groups,
    mistakes,
    looked,
    training,
    configuration,
)


def write_report(
    path: Path,
    subjects: Sequence[Subject],
    pairs: Sequence[dict] = (),
    figures: Path | None = None,
    *,
    extra: Sequence[Part] = (),
) -> Path:
    """Write the report of one table, or of several with their comparison.

    Args:
        path: the HTML file.
        subjects: the tables, at least one.
        pairs: what :func:`dermasense.evaluation.judge.compare` says of them.
        figures: folder that gets every drawing as an SVG file; None for none.
        extra: parts of their own that come first.

    Returns:
        `path`.
    """
    several = len(subjects) > 1
    folders = safe_names([subject.name for subject in subjects], empty="table")
    links, body = [], []
    for number, part in enumerate(extra):
        links.append((f"extra{number}", part.title))
        body.append(_section(f"extra{number}", part))
        if figures is not None:
            write_figures(figures, part)
    if several:
        part = comparison(subjects, pairs)
        links.append(("side", part.title))
        body.append(_section("side", part))
    for number, subject in enumerate(subjects):
        prefix = f"t{number}-" if several else ""
        if several:
            body.append(el("h2", breakable(subject.name), id=f"t{number}"))
            body.append(opening(subject))
            links.append((f"t{number}", subject.name))
        for make in PARTS:
            part = make(subject)
            if part is None:
                continue
            anchor = f"{prefix}{make.__name__}"
            body.append(_section(anchor, part, "h3" if several else "h2"))
            if not several:
                links.append((anchor, part.title))
            if figures is not None:
                write_figures(figures / folders[number] if several else figures, part)
    names = ", ".join(subject.name for subject in subjects)
    title = f"Comparison: {names}" if several else _title(subjects[0])
    first = None if several else opening(subjects[0])
    nav = el("nav", *[el("a", words, href=f"#{to}") for to, words in links], aria_label="Contents")
    main = el("main", el("h1", breakable(title)), el("p", DEVICE, cls="device"), first, nav, *body)
    write_text(path, document(title, joined([main, _footer(subjects)])))
    return path


def _title(subject: Subject) -> str:
    if subject.origin is None:
        return f"Report on {subject.name}"
    return f"{subject.origin.settings.get('name', 'run')} on {subject.origin.dataset}"


def _section(anchor: str, part: Part, level: str = "h2") -> Html:
    return el("section", el(level, part.title, id=anchor), part.body)


def _footer(subjects: Sequence[Subject]) -> Html:
    how = subjects[0].metrics["intervals"]
    words = (
        f"Intervals: {100 * how['level']:.0f} %, {how['method']}, {how['resamples']:,} resamples, "
        f"seed {how['seed']}. They say how far the numbers would move on other images of the same "
        "kind; they do not cover other cameras, clinics or people. “-” means not defined."
    )
    return el("footer", el("p", el("small", words)), el("p", el("small", DEVICE)))
