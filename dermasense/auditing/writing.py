"""What an audit leaves beside its answers: a catalog to train on, and pictures for the page."""

from pathlib import Path

from dermasense.auditing.duplicates import joined_groups
from dermasense.auditing.subject import Subject
from dermasense.data.given_splits import COLUMNS
from dermasense.files import write_csv


def write_catalog(subject: Subject, path: Path) -> dict:
    """A table for data=csv whose groups join the copies, without rows that training would refuse.

    Returns:
        rows, left_out, groups_before, groups_after, and the sentence with the words that read it.
    """
    frame = subject.frame.assign(group=joined_groups(subject), group_before=subject.frame["group"])
    frame = frame.iloc[subject.usable]
    attributes = list(subject.catalog.attributes)
    given = [name for name in COLUMNS if name in frame]  # a split of its own stays beside
    columns = ["image_id", "path", "label", "group", "group_before", *given, *attributes]
    rows = frame[columns].astype(object)
    write_csv(path, rows.where(rows.notna(), "").to_dict("records"), columns)
    before, after = frame["group_before"].nunique(), frame["group"].nunique()
    words = [f"data=csv data.file={path.absolute()}"]
    words.append(f"data.class_names=[{','.join(subject.catalog.class_names)}]")
    if attributes:
        words.append(f"data.attributes=[{','.join(attributes)}]")
    left_out = len(subject.frame) - len(frame)
    lacking = f" ({left_out} unusable rows left out)" if left_out else ""
    sentence = (
        f"{path}: {len(frame):,} images{lacking}, {before:,} groups joined to {after:,}. "
        f"Train on it with: {' '.join(words)}"
    )
    return {
        "rows": len(frame),
        "left_out": left_out,
        "groups_before": int(before),
        "groups_after": int(after),
        "words": words,
        "sentence": sentence,
    }


def pictures_of(subject: Subject, other: Subject | None = None) -> dict[str, str]:
    """Paths of the pictures by image_id; of another set under "<its name>/<image_id>" too."""
    frame = subject.frame
    pictures = dict(zip(frame["image_id"].astype(str), frame["path"], strict=True))
    if other is not None:
        ids = other.catalog.name + "/" + other.frame["image_id"].astype(str)
        pictures |= dict(zip(ids, other.frame["path"], strict=True))
    return pictures
