"""The report: one HTML file that needs nothing beside it, no script and no network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    sections = [_Section(f"extra{i}", part) for i, part in enumerate(extra)]
    if len(subjects) == 1:
        title, first = _title(subjects[0]), opening(subjects[0])
        sections += _sections_of(subjects[0])
    else:
        title, first = f"Comparison: {', '.join(each.name for each in subjects)}", None
        sections.append(_Section("side", comparison(subjects, pairs)))
        folders = safe_names([subject.name for subject in subjects], empty="table")
        for i, (subject, place) in enumerate(zip(subjects, folders, strict=True)):
            heading = el("h2", breakable(subject.name), id=f"t{i}")
            sections.append(
                _Section(f"t{i}", Part(subject.name, opening(subject)), heading=heading)
            )
            sections += [
                replace(each, anchor=f"t{i}-{each.anchor}", level="h3", linked=False, place=place)
                for each in _sections_of(subject)
            ]
    if figures is not None:
        for each in sections:
            write_figures(figures / each.place, each.part)
    links = [el("a", each.part.title, href=f"#{each.anchor}") for each in sections if each.linked]
    nav = el("nav", *links, aria_label="Contents")
    body = [each.html() for each in sections]
    main = el("main", el("h1", breakable(title)), el("p", DEVICE, cls="device"), first, nav, *body)
    write_text(path, document(title, joined([main, _footer(subjects)])))
    return path


@dataclass(frozen=True)
class _Section:
    """A part in its place: anchor, level of its head, folder of its drawings below `figures`."""

    anchor: str
    part: Part
    level: str = "h2"
    linked: bool = True
    place: str = ""
    heading: Html | None = None  # of a subject: no section, its parts follow

    def html(self) -> Html:
        """As the page has it."""
        if self.heading is not None:
            return joined([self.heading, self.part.body])
        head = el(self.level, self.part.title, id=self.anchor)
        return el("section", head, self.part.body)


def _sections_of(subject: Subject) -> list[_Section]:
    made = [(make.__name__, make(subject)) for make in PARTS]
    return [_Section(anchor, part) for anchor, part in made if part is not None]


def _title(subject: Subject) -> str:
    if subject.origin is None:
        return f"Report on {subject.name}"
    return f"{subject.origin.settings.get('name', 'run')} on {subject.origin.dataset}"


def _footer(subjects: Sequence[Subject]) -> Html:
    how = subjects[0].metrics["intervals"]
    words = (
        f"Intervals: {100 * how['level']:.0f} %, {how['method']}, {how['resamples']:,} resamples, "
        f"seed {how['seed']}. They say how far the numbers would move on other images of the same "
        "kind; they do not cover other cameras, clinics or people. “-” means not defined."
    )
    return el("footer", el("p", el("small", words)), el("p", el("small", DEVICE)))
