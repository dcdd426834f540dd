"""The contract of an audit: a class with a name that looks at a subject and fills a finding."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

from dermasense.auditing.subject import Subject


@dataclass(frozen=True)
class Finding:
    """What one audit has to say. All values are plain: they go to audit.json as they are.

    Attributes:
        summary: sentences, the most important first.
        rows: one dict a thing found, the worst first. The keys `image_id` and `other` name
            pictures, which a page may show.
        information: the numbers behind the summary, by name.
        tables: small tables for people, by caption; each row a dict with the same keys.
        alarm: True where somebody should look before training.
    """

    summary: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    information: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    alarm: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For audit.json."""
        return asdict(self)


class Audit(Protocol):
    """One question to the data; implementations are dataclasses whose fields are its options."""

    name: ClassVar[str]
    title: ClassVar[str]

    def __call__(self, subject: Subject) -> Finding:
        """Looks; never changes the subject.

        Raises:
            DermaSenseError: where the question cannot be asked of these images; the sentence is
                shown in the place of the finding.
        """
        ...
