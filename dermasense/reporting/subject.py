"""What a report is about: a predictions table, its metrics, and the run it came from, if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dermasense.data.catalog import LESIONS, NEAR_DUPLICATES
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.protocol import is_leaky
from dermasense.files import read_csv, read_json
from dermasense.run_folder import RunFolder


@dataclass(frozen=True)
class Origin:
    """What a run folder tells about a training.

    Attributes:
        settings: the resolved configuration.
        environment: command, commit, versions, machine.
        history: one row an epoch of history.csv, numbers as floats, missing ones None.
        training: images and groups of the training split, and images by class, from splits.csv.
        bundle: model.json without the metrics; {} where there is no bundle (yet).
        protocol: how the split was made, as metrics.json says.
        note: what must be said wherever the numbers are shown.
        groups_are: as of the `Catalog`; "" where that is not known.
        looked: rows of explained.json, each with its picture as `jpeg`; empty where there are none.
    """

    settings: dict
    environment: dict
    history: list[dict]
    training: dict
    bundle: dict
    protocol: str
    note: str
    groups_are: str = ""
    looked: tuple[dict, ...] = ()

    @property
    def dataset(self) -> str:
        return str(self.settings["data"]["name"])


@dataclass(frozen=True)
class Subject:
    """One table under judgement.

    Attributes:
        name: what it is called in the report.
        predictions: the table.
        metrics: what :func:`dermasense.evaluation.judge.judge` says of it.
        origin: the run it came from.
        pictures: path by image_id, for the thumbnails; empty leaves them out.
        no_pictures: why there are none, in words.
        part: "test" or "val" where it is a run's own table of that split.
        about: what model answered, in a sentence, where that is known without a run.
    """

    name: str
    predictions: Predictions
    metrics: dict
    origin: Origin | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)
    no_pictures: str = ""
    part: str | None = None
    about: str = ""

    @property
    def leaky(self) -> bool:
        return is_leaky(self.metrics["protocol"])

    @property
    def groups_are(self) -> str:
        """What all groups are, in words that take a plural s; "group" where that is not known."""
        known = self.origin.groups_are if self.origin else ""
        return known if known in (LESIONS, NEAR_DUPLICATES) else "group"


def read_origin(run: RunFolder) -> Origin:
    """Everything that a report says about a run, from its files.

    Raises:
        DermaSenseError: where the folder holds no run.
    """
    _, settings = run.read_config()
    metrics = read_json(run.metrics) if run.metrics.is_file() else {}
    description = run.bundle / "model.json"
    bundle = read_json(description) if description.is_file() else {}
    return Origin(
        settings=settings,
        environment=read_json(run.environment) if run.environment.is_file() else {},
        history=_history(run.history),
        training=_training(run.splits, bundle.get("class_names", [])),
        bundle={key: value for key, value in bundle.items() if key != "metrics"},
        protocol=str(metrics.get("protocol", "")),
        note=str(metrics.get("note") or bundle.get("note", "")),
        groups_are=str(metrics.get("groups_are", "")),
        looked=_looked(run.explained),
    )


def training_counts(origin: Origin | None, class_names: tuple[str, ...]) -> list[int] | None:
    """Training images a class in the order of the names; None where that is not known."""
    by_class = origin.training.get("by_class", {}) if origin else {}
    if not by_class or not set(by_class) <= set(class_names):
        return None
    return [by_class.get(name, 0) for name in class_names]


def _looked(folder: Path) -> tuple[dict, ...]:
    table = folder / "explained.json"
    rows = read_json(table) if table.is_file() else []
    files = [folder / Path(row["file"]).name for row in rows]
    return tuple(
        {**row, "jpeg": file.read_bytes()}
        for row, file in zip(rows, files, strict=True)
        if file.is_file()
    )


def _history(path: Path) -> list[dict]:
    return [
        {key: _number(value) for key, value in row.items()}
        for row in read_csv(path, missing_ok=True)
    ]


def _training(path: Path, class_names: list[str]) -> dict:
    rows = [row for row in read_csv(path, missing_ok=True) if row["split"] == "train"]
    by_class: dict[str, int] = dict.fromkeys(class_names, 0)
    for row in rows:
        by_class[row["label"]] = by_class.get(row["label"], 0) + 1
    groups = {row["group"] for row in rows}
    return {"n": len(rows), "n_groups": len(groups), "by_class": by_class} if rows else {}


def _number(value: str) -> Any:
    try:
        return float(value) if value else None
    except ValueError:
        return value
