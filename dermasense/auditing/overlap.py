"""Pictures of one set that stand in another too: training images in a test set."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dermasense.auditing.copies import find_copies
from dermasense.auditing.finding import Finding
from dermasense.auditing.subject import Subject


@dataclass(frozen=True)
class Overlap:
    """Copies between the audited set and another one, by the rules of `copies`.

    Attributes:
        other: the set to compare with.
    """

    other: Subject
    name: ClassVar[str] = "overlap"
    title: ClassVar[str] = "Overlap with another set"

    def __call__(self, subject: Subject) -> Finding:
        here, there = subject.comparable, self.other.comparable
        one, two = subject.frame, self.other.frame
        rows = []
        for i, j, kind, likeness, turn in overlapping(subject, self.other):
            rows.append(
                {
                    "image_id": str(one["image_id"].iloc[i]),
                    "other": str(two["image_id"].iloc[j]),
                    "labels": f"{one['label'].iloc[i]} | {two['label'].iloc[j]}",
                    "split": str(subject.split.iloc[i]),
                    "kind": kind,
                    "turn": turn,
                    "likeness": likeness,
                }
            )
        name = self.other.catalog.name
        inside = len({row["other"] for row in rows})
        summary = [
            f"{inside} of {len(there):,} images of {name} are copies of one of the {len(here):,} "
            f"images of {subject.catalog.name} ({len(rows)} pairs)."
        ]
        summary += [each.not_compared for each in (self.other, subject) if each.not_compared]
        information = {
            "against": name,
            "n": len(here),
            "n_other": len(there),
            "not_compared": len(one) - len(here),
            "not_compared_other": len(two) - len(there),
            "pairs": len(rows),
            "images_of_other": inside,
        }
        return Finding(summary, rows, information, alarm=bool(rows))


def overlapping(one: Subject, two: Subject) -> list[tuple[int, int, str, float, str]]:
    """(row of one, row of two, kind, likeness, turn) of every pair of copies, the surest first."""
    here, there = one.comparable, two.comparable
    found: dict[tuple[int, int], tuple[str, float, str]] = {}
    for column, kind in (("digest", "equal file"), ("pixels", "equal pixels")):
        rows: dict[str, list[int]] = {}
        for row in here:
            rows.setdefault(one.facts[column].iloc[row], []).append(int(row))
        for other in there:
            for row in rows.get(two.facts[column].iloc[other], ()):
                found.setdefault((row, int(other)), (kind, 1.0, "as it is"))
    pictures = [one.store.images[r] for r in here] + [two.store.images[r] for r in there]
    vectors = np.concatenate([one.embeddings[here], two.embeddings[there]])
    for copy in find_copies(pictures, vectors, apart=len(here)):
        pair = int(here[copy.first]), int(there[copy.second - len(here)])
        found.setdefault(pair, ("near copy", copy.likeness, copy.turn))
    return sorted(((i, j, *about) for (i, j), about in found.items()), key=lambda row: -row[3])
