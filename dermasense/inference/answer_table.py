"""Answers as columns: the part files of a bulk prediction, and the tables made of them."""

from collections.abc import Sequence

import pyarrow as pa

from dermasense.evaluation.predictions import PREFIX, PROBABILITY_PREFIX
from dermasense.evaluation.probabilities_csv import NOTICE
from dermasense.files import spreadsheet_row
from dermasense.inference.prediction import DISCLAIMER, Prediction

BETWEEN = "|"  # class names and warnings hold commas and spaces
BROKEN = "reason"
EMPTY = "{}"


def schema(class_names: Sequence[str]) -> pa.Schema:
    """Columns of a part: one row a file, broken ones with their `reason` and nothing else."""
    text = ("image_id", "image", BROKEN, "answer", "prediction_set", "decision", "warnings")
    fields = [pa.field(name, pa.string()) for name in text]
    fields += [pa.field(name, pa.float64()) for name in ("confidence", "distance")]
    fields += [pa.field(f"{PROBABILITY_PREFIX}{name}", pa.float64()) for name in class_names]
    fields += [pa.field(f"{PREFIX}{name}", pa.float32()) for name in class_names]
    return pa.schema(fields)


def row(image_id: str, found: Prediction) -> dict:
    """A row of an answer."""
    members = found.prediction_set
    return {
        "image_id": image_id,
        "image": found.image,
        "answer": found.answer,
        "confidence": found.confidence,
        "prediction_set": None if members is None else BETWEEN.join(members),
        "decision": found.decision,
        "distance": found.distance,
        "warnings": BETWEEN.join(found.warnings),
        **{f"{PROBABILITY_PREFIX}{name}": value for name, value in found.probabilities.items()},
        **{
            f"{PREFIX}{name}": value
            for name, value in zip(found.probabilities, found.logits, strict=True)
        },
    }


def broken(image_id: str, image: str, reason: str) -> dict:
    """A row of a file that cannot be read."""
    return {"image_id": image_id, "image": image, BROKEN: reason}


def csv_columns(class_names: Sequence[str], labelled: bool) -> list[str]:
    """Columns of predictions.csv."""
    probabilities = [f"{PROBABILITY_PREFIX}{name}" for name in class_names]
    return [
        *("image_id", "image", *(["label"] if labelled else []), "answer", "confidence"),
        *probabilities,
        *("prediction_set", "decision", "distance", "warnings", NOTICE),
    ]


def csv_row(values: dict) -> dict:
    """A row of predictions.csv: numbers to six places, and what every reader must know.

    A set without a class is {}, and no set an empty cell.
    """
    texts = spreadsheet_row(values)
    shown = {k: f"{v:.6f}" if isinstance(v, float) else v for k, v in texts.items()}
    if shown["prediction_set"] == "":
        shown["prediction_set"] = EMPTY
    return {**shown, NOTICE: DISCLAIMER}


def sentence(values: dict, class_names: Sequence[str]) -> str:
    """One line on an answer: the two most probable classes, the decision, warnings."""
    ordered = sorted(class_names, key=lambda name: -values[f"{PROBABILITY_PREFIX}{name}"])
    top = ", ".join(f"{name} {values[f'{PROBABILITY_PREFIX}{name}']:.1%}" for name in ordered[:2])
    members = values["prediction_set"]
    parts = [top]
    if values["answer"] != ordered[0]:
        parts.append(f"answer by the bundle's rule: {values['answer']}")
    if members is not None:
        parts.append(f"set {{{members.replace(BETWEEN, ', ')}}}")
    if values["decision"] != "no rule":
        parts.append(values["decision"])
    if values["warnings"]:
        parts.append(f"warning: {values['warnings'].replace(BETWEEN, '; ')}")
    name = "".join(c if c.isprintable() else "?" for c in values["image"])
    return f"{name}: {'; '.join(parts)}"
