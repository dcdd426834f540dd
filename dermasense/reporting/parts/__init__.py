"""The parts of a report: one file each, a function from a subject to a :class:`Part` or None."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Part:
    """A section.

    Attributes:
        title: its heading.
        body: HTML below the heading.
        figures: drawings by name, as SVG text, that are also written as files.
    """

    title: str
    body: str
    figures: dict[str, str] = field(default_factory=dict)
