"""What tells the label without the picture: attributes, file facts, the grey of the corners."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from dermasense.auditing.finding import Finding
from dermasense.auditing.intervals import balanced_accuracy
from dermasense.auditing.subject import Subject

BINS = 10  # of a number; a bin is a tenth of the images
VALUES = 50  # of a word: rarer ones are one value
# As a column of 0 and 1, hardly shrunk: what an attribute can tell at all is the question.
STRENGTH = 10.0
FILE_FACTS = {
    "image size": ("width", "height"),
    "file size": ("bytes",),
    "file format": ("format", "mode"),
    "brightness of the corners": ("corner_brightness",),
    "brightness": ("brightness",),
}


@dataclass(frozen=True)
class Shortcuts:
    """A probe on each attribute alone, balanced, out of fold by group, beside one on the picture.

    Balanced accuracy has an interval over groups, widened to hold for all attributes at once
    (Bonferroni). An attribute above chance may be medicine (age) or a leak (a lesion was biopsied
    because it looked malignant): that is for people to say. An alarm where one comes halfway from
    chance to what the picture itself gives.
    """

    name: ClassVar[str] = "shortcuts"
    title: ClassVar[str] = "What predicts the label without the picture"

    def __call__(self, subject: Subject) -> Finding:
        columns = attribute_columns(subject)
        chance = 1 / len(subject.probe_classes)
        level = 1 - 0.05 / max(len(columns), 1)
        picture = balanced_accuracy(
            subject.probe(subject.embeddings[subject.probed], balanced=True),
            resamples=subject.resamples, seed=subject.seed,
        )  # fmt: skip
        rows = []
        for name, columns_of in columns.items():
            varied = [each for each in map(_encoded, columns_of) if each.shape[1] > 1]
            if not varied:
                continue  # one value throughout tells nothing
            encoded = np.concatenate(varied, axis=1)
            answers = subject.probe(encoded, balanced=True, strength=STRENGTH)
            found = balanced_accuracy(
                answers, resamples=subject.resamples, seed=subject.seed, level=level
            )
            verdict = _verdict(found.low, chance, picture.value)
            rows.append({"attribute": name, **_rounded(found), "verdict": verdict})
        rows.sort(key=lambda row: -row["balanced_accuracy"])
        loud = [row["attribute"] for row in rows if row["verdict"] == "like a leak"]
        telling = [row["attribute"] for row in rows if row["verdict"] != "nothing shown"]
        summary = [
            f"Chance is {chance:.3f}; the picture alone gives a linear probe "
            f"{picture.value:.3f} ({picture.low:.3f} to {picture.high:.3f}) balanced accuracy."
        ]
        summary.append(
            f"Above chance without the picture: {', '.join(telling)}."
            if telling
            else "No attribute is shown to tell the label above chance."
        )
        if loud:
            summary.append(
                f"Halfway from chance to the picture or more: {', '.join(loud)}. A model that can "
                "see such a thing, or images that carry it, learns it instead of the lesion."
            )
        information = {"chance": chance, "level": level, "picture": picture.as_dict()}
        return Finding(summary, rows, information, alarm=bool(loud))


def attribute_columns(subject: Subject) -> dict[str, list[pd.Series]]:
    """Columns of the probed rows by the name of what they are."""
    frame, facts = subject.frame.iloc[subject.probed], subject.facts.iloc[subject.probed]
    columns = {name: [frame[name]] for name in subject.catalog.attributes}
    columns |= {name: [facts[c] for c in of] for name, of in FILE_FACTS.items()}
    digits = frame["image_id"].astype(str).str.extract(r"(\d+)\D*$")[0]
    numbers = pd.to_numeric(digits.str[-15:], errors="coerce")
    if numbers.notna().mean() > 0.9:
        columns["number in the image id"] = [numbers]
    return columns


def _encoded(column: pd.Series) -> np.ndarray:
    """0 and 1, a column a value or a tenth of the numbers; a missing value is one of its own.

    The bins are quantiles of all rows: they know nothing of labels.
    """
    known = column.notna()
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > BINS:
        values = pd.qcut(column, BINS, labels=False, duplicates="drop").astype("object")
    else:
        values = column.astype("object")
        common = values[known].value_counts().index[:VALUES]
        values = values.where(values.isin(common), "other")
    values = values.where(known, "not known").astype(str)
    return pd.get_dummies(values).to_numpy(np.float32)


def _verdict(low: float | None, chance: float, picture: float) -> str:
    if low is None or low <= chance:
        return "nothing shown"
    return "like a leak" if low >= chance + 0.5 * (picture - chance) else "above chance"


def _rounded(found) -> dict:
    low, high = (None if end is None else round(end, 4) for end in (found.low, found.high))
    return {
        "balanced_accuracy": round(found.value, 4),
        "low": low,
        "high": high,
        "n": found.n,
        "n_groups": found.n_groups,
    }
