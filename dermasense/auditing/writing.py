"""What an audit leaves beside its answers: a catalog to train on, and pictures for the page."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from dermasense.auditing.duplicates import joined_groups
from dermasense.auditing.subject import Subject
from dermasense.data.given_splits import COLUMNS
from dermasense.files import write_csv
from dermasense.hydra_words import hydra_text

NO_TEXT = ("null", "true", "false", "nan", "inf")  # Hydra reads these words as other than text


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
    words = [_word("data.file", str(path.absolute())), "data=csv"]
    words.append(_word("data.class_names", subject.catalog.class_names))
    if attributes:
        words.append(_word("data.attributes", attributes))
    left_out = len(subject.frame) - len(frame)
    lacking = f" ({left_out} unusable rows left out)" if left_out else ""
    sentence = (
        f"{path}: {len(frame):,} images{lacking}, {before:,} groups joined to {after:,}. "
        f"Train on it with: {shlex.join(words)}"
    )
    return {
        "rows": len(frame),
        "left_out": left_out,
        "groups_before": int(before),
        "groups_after": int(after),
        "words": words,
        "sentence": sentence,
    }


def _word(key: str, value: str | Sequence[str]) -> str:
    """A word of Hydra's grammar; the shell's quotes are not in it."""
    if isinstance(value, str):
        return f"{key}={_text(value)}"
    return f"{key}=[{','.join(map(_text, value))}]"


def _text(value: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_/][\w./-]*", value, re.ASCII)
    return value if plain and value.lower() not in NO_TEXT else hydra_text(value)


def pictures_of(subject: Subject, other: Subject | None = None) -> dict[str, str]:
    """Paths of the pictures by image_id; of another set under "<its name>/<image_id>" too."""
    frame = subject.frame
    pictures = dict(zip(frame["image_id"].astype(str), frame["path"], strict=True))
    if other is not None:
        ids = other.catalog.name + "/" + other.frame["image_id"].astype(str)
        pictures |= dict(zip(ids, other.frame["path"], strict=True))
    return pictures
