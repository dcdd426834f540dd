"""What it would do to the score to let images of one lesion stand in training and in the test."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from dermasense.auditing.copies import whitened
from dermasense.auditing.finding import Finding
from dermasense.auditing.intervals import (
    accuracy_gain,
    balanced_accuracy,
    balanced_accuracy_gain,
)
from dermasense.auditing.subject import Subject
from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Leak:
    """Two models, each judged on the same images with grouped and with image-level folds.

    The linear probe hardly can memorise; the nearest neighbour does nothing else. A network that
    is trained through lies between. Differences are paired, with intervals over groups.
    """

    name: ClassVar[str] = "leak"
    title: ClassVar[str] = "What a lesion on both sides would add"

    def __call__(self, subject: Subject) -> Finding:
        frame = subject.frame.iloc[subject.probed]
        sizes = frame["group"].map(frame["group"].value_counts()).to_numpy()
        if sizes.max() < 2:
            raise DermaSenseError(
                "every image is a group of its own, so nothing can leak by the groups that are "
                "known; where lesions or patients are known, name their column "
                "(data.columns.group=...)"
            )
        vectors = subject.embeddings[subject.probed]
        honest, leaky = _neighbours(frame, whitened(vectors), subject.probe_classes)
        models = {
            "linear probe": (subject.answers, subject.probe(vectors, by="image")),
            "nearest neighbour": (honest, leaky),
        }
        options = {"resamples": subject.resamples, "seed": subject.seed}
        rows = []
        for model, pair in models.items():
            for part, keep in (("all images", sizes > 0), ("groups of several", sizes > 1)):
                first, second = (each.rows(keep) for each in pair)
                gain = balanced_accuracy_gain(first, second, **options)
                top1 = accuracy_gain(first, second, **options)
                rows.append(
                    {
                        "model": model,
                        "images": part,
                        "n": gain.n,
                        "n_groups": gain.n_groups,
                        "grouped": _value(balanced_accuracy(first, **options)),
                        "leaky": _value(balanced_accuracy(second, **options)),
                        "gain": round(gain.value, 4),
                        "low": _end(gain.low),
                        "high": _end(gain.high),
                        "top1_gain": round(top1.value, 4),
                        "top1_low": _end(top1.low),
                        "top1_high": _end(top1.high),
                    }
                )
        of_all = {row["model"]: row for row in rows if row["images"] == "all images"}
        probe, memory = of_all["linear probe"], of_all["nearest neighbour"]
        summary = [
            f"With image-level folds a linear probe seems {_gain(probe)} better in balanced "
            f"accuracy, a nearest neighbour {_gain(memory)}, on the very same images.",
            f"{int((sizes > 1).sum()):,} of {len(sizes):,} images have a sibling that could leak.",
        ]
        information = {
            "images_with_siblings": int((sizes > 1).sum()),
            "n": len(sizes),
            "folds": subject.folds,
        }
        return Finding(summary, rows, information, alarm=bool(memory["low"] and memory["low"] > 0))


def _neighbours(
    frame: pd.DataFrame, vectors: np.ndarray, class_names: tuple[str, ...]
) -> tuple[Predictions, Predictions]:
    """Answers of the nearest image of another group, and of the nearest other image."""
    groups = pd.factorize(frame["group"].astype(str))[0]
    codes = frame["label"].map({name: i for i, name in enumerate(class_names)}).to_numpy()
    other_group, other_image = np.empty(len(frame), int), np.empty(len(frame), int)
    for start in range(0, len(frame), 512):
        block = slice(start, start + 512)
        scores = vectors[block] @ vectors.T
        scores[np.arange(len(scores)), start + np.arange(len(scores))] = -np.inf
        other_image[block] = scores.argmax(1)
        scores[groups[block, None] == groups] = -np.inf
        other_group[block] = scores.argmax(1)
    table = frame[["image_id", "group", "label"]]
    one_hot = 10.0 * np.eye(len(class_names))
    return tuple(
        Predictions(table, one_hot[codes[each]], class_names) for each in (other_group, other_image)
    )


def _value(found) -> float:
    return round(found.value, 4)


def _end(end: float | None) -> float | None:
    return None if end is None else round(end, 4)


def _gain(row: dict) -> str:
    if row["low"] is None:
        return f"{100 * row['gain']:+.1f} points (no interval)"
    return f"{100 * row['gain']:+.1f} points ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
