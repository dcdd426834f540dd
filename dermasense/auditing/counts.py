"""How many images, groups, classes and attribute values there are, and what the files are."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from dermasense.auditing.finding import Finding
from dermasense.auditing.subject import Subject
from dermasense.data.splits import leaking_groups

MANY = 12  # values of an attribute that a table still shows; numbers get quarters


@dataclass(frozen=True)
class Counts:
    """The inventory.

    An alarm where the table itself has mistakes (labels, ids, empty classes), and where groups
    stand in several parts of the split.
    """

    name: ClassVar[str] = "counts"
    title: ClassVar[str] = "What is there"

    def __call__(self, subject: Subject) -> Finding:
        frame, facts = subject.frame, subject.facts
        sizes = frame["group"].value_counts()
        several = int((sizes > 1).sum())
        summary = [
            f"{len(frame):,} images of {len(sizes):,} groups (lesions, or what the source calls "
            f"one) in {len(subject.catalog.class_names)} classes.",
            f"{several:,} groups have more than one image, the largest {int(sizes.max())}; "
            f"{len(frame) - len(sizes):,} images are a further picture of a group.",
        ]
        classes = _by(frame, "label", subject.catalog.class_names)
        if len(classes) > 1:
            most, least = max(classes, key=_images), min(classes, key=_images)
            sizes_said = (
                f"All classes have {most['images']:,} images"
                if most["images"] == least["images"]
                else f"The largest class is {most['label']} ({most['share']:.1%}), the smallest "
                f"{least['label']} ({least['images']:,} images)"
            )
            summary.append(
                f"{sizes_said}: who always answers {most['label']} is right on {most['share']:.1%}."
            )
        tables = {"Classes.": classes}
        for name in subject.catalog.attributes:
            tables[f"Attribute {name}."] = _by(frame, name)
        if subject.split.notna().any():
            tables["Split."] = _by(frame.assign(split=subject.split), "split")
        shapes = (
            facts["width"].astype("Int64").astype(str)
            + " x "
            + facts["height"].astype("Int64").astype(str)
        )
        tables["Sizes in pixels."] = _by(
            frame.assign(size=shapes.where(facts["width"].notna())), "size"
        )
        kinds = facts["format"] + ", " + facts["mode"]
        tables["Formats."] = _by(frame.assign(format=kinds), "format")
        problems = [text for texts in subject.problems.values() for text in texts]
        if problems:
            summary.append(f"The table has {len(problems)} problems, the first: {problems[0]}.")
        crossing = leaking_groups(frame, subject.split)
        if crossing:
            summary.append(
                f"Groups that stand in more than one part of the split: {crossing:,}; numbers on "
                "such a split are leaky."
            )
        if subject.no_split:
            summary.append(subject.no_split)
        information = {
            "images": len(frame),
            "groups": len(sizes),
            "classes": {row["label"]: row["images"] for row in classes},
            "groups_with_several_images": several,
            "repeats": len(frame) - len(sizes),
            "groups_in_several_parts": crossing,
            "problems": problems,
        }
        return Finding(summary, [], information, tables, alarm=bool(problems or crossing))


def _images(row: dict) -> int:
    return row["images"]


def _by(frame: pd.DataFrame, column: str, order: tuple[str, ...] = ()) -> list[dict]:
    """Images, groups and shares of each value, in the order given or the most frequent first."""
    values = frame[column]
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MANY:
        values = pd.qcut(values, 4, duplicates="drop").astype(object)
    values = values.astype(object).where(values.notna(), "not known").astype(str)
    images, groups = values.value_counts(), frame["group"].groupby(values).nunique()
    names = [*order, *(name for name in images.index if name not in order)]
    rows = [
        {
            column: name,
            "images": int(images.get(name, 0)),
            "groups": int(groups.get(name, 0)),
            "share": round(int(images.get(name, 0)) / max(len(frame), 1), 4),
        }
        for name in names
    ]
    if len(rows) <= 2 * MANY or order:
        return rows
    kept, rest = rows[: MANY - 1], rows[MANY - 1 :]
    images_left = sum(map(_images, rest))
    more = {column: f"{len(rest)} other values", "images": images_left}
    more |= {"groups": sum(row["groups"] for row in rest)}
    return [*kept, more | {"share": round(images_left / max(len(frame), 1), 4)}]
