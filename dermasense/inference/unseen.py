"""Labelled images that a trained model has not learnt from: another data set, or its own test."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dermasense.data.catalog import Catalog
from dermasense.data.class_map import refuse_strangers
from dermasense.errors import DermaSenseError
from dermasense.evaluation.metrics import GROUPED, LEAKY

# Names of sources that hold whatever the user has: two of one name may be different images.
ANYTHING = ("csv", "folder", "concat")


@dataclass(frozen=True)
class Unseen:
    """Images to judge a trained model by.

    Attributes:
        catalog: their rows, class names and order those of the model.
        part: "test" or "val" where they are that part of the data the model was made of; None
            where they are another data set.
        protocol: how they were kept apart from training, in the words that reports show.
    """

    catalog: Catalog
    part: str | None
    protocol: str


def splits_file(folder: Path) -> Path | None:
    """The splits.csv of a run folder, or of the run that a bundle lies in."""
    places = (folder / "splits.csv", folder.parent / "splits.csv")
    return next((place for place in places if place.is_file()), None)


def unseen_images(
    folder: str | Path,
    trained_on: str,
    class_names: tuple[str, ...],
    catalog: Catalog,
    *,
    part: str = "test",
    same_names: bool = False,
) -> Unseen:
    """Choose the rows that the model has not learnt from, or refuse.

    Args:
        folder: run folder or bundle; a splits.csv of the run beside it tells the rows.
        trained_on: the name of the data set in model.json.
        class_names: of the model.
        catalog: the data; its labels must be classes of the model.
        part: which part of the data the model was made of.
        same_names: images of another data set may be called as those of training are.

    Raises:
        DermaSenseError: a label that the model does not know; images that the model has learnt
            from; its own data set without a splits.csv to tell the test part by.
    """
    refuse_strangers(catalog, class_names, "data")
    catalog = replace(catalog, class_names=tuple(class_names), evaluation_only=True)
    file = splits_file(Path(folder))
    splits = None if file is None else pd.read_csv(file, dtype=str, keep_default_na=False)
    ids = catalog.frame["image_id"].astype(str)
    inside = None if splits is None else ids.isin(_of(splits, "image_id", part))
    if catalog.name == trained_on and (catalog.name not in ANYTHING or _any(inside)):
        if not _any(inside):
            why = f"{folder} has no splits.csv" if file is None else f"no image of it is in {file}"
            raise DermaSenseError(
                f"data={catalog.name} is what the model was trained on, and {why}, so its {part} "
                "part is not known; name the run's folder and its data, or another data set."
            )
        catalog = replace(catalog, frame=catalog.frame[inside].reset_index(drop=True))
        leaky = catalog.frame["group"].astype(str).isin(_of(splits, "group", "train")).any()
        return Unseen(catalog, part, LEAKY if leaky else GROUPED)
    if splits is not None and not same_names:
        learnt = ids[ids.isin(_of(splits, "image_id", "train", "val"))]
        if len(learnt):
            raise DermaSenseError(
                f"data={catalog.name}: {len(learnt)} images ({learnt.iloc[0]}, ...) were in the "
                "model's training or validation, so it has seen them; leave them out, or say "
                "same_names=true where other images have the same names."
            )
    return Unseen(catalog, None, f"external ({catalog.name}), none of it seen in training")


def _of(splits: pd.DataFrame, column: str, *parts: str) -> set[str]:
    return set(splits.loc[splits["split"].isin(parts), column])


def _any(inside: pd.Series | None) -> bool:
    return inside is not None and bool(inside.any())
