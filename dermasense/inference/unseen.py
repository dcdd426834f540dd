"""What a trained model has not learnt from: images to judge it by, runs that may begin with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dermasense.data.catalog import Catalog, is_own
from dermasense.data.class_map import refuse_strangers
from dermasense.data.prepared import Prepared, protocol_of
from dermasense.errors import DermaSenseError
from dermasense.models.origin import began_with, described

# What a part of a run must not have been to the model it learns from or begins with. Both may
# choose by one validation part.
SEEN = {"test": ("train", "val"), "val": ("train",)}


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
    """The splits.csv of a run folder, or of the run that a bundle lies in; another's is none."""
    places = (folder / "splits.csv", folder.parent / "splits.csv")
    return next((place for place in places if place.is_file() and _of_a_run(place)), None)


def _of_a_run(splits: Path) -> bool:
    with open(splits, encoding="utf-8", errors="replace") as lines:
        return {"image_id", "split"} <= set(lines.readline().strip().split(","))


def unseen_images(
    folder: str | Path,
    trained_on: str,
    class_names: tuple[str, ...],
    catalog: Catalog,
    *,
    part: str = "test",
    same_names: bool = False,
    ancestors: Sequence[str] = (),
) -> Unseen:
    """Choose the rows that the model has not learnt from, or refuse.

    Args:
        folder: run folder or bundle; a splits.csv of the run beside it tells the rows.
        trained_on: the name of the data set in model.json.
        class_names: of the model.
        catalog: the data; its labels must be classes of the model.
        part: which part of the data the model was made of.
        same_names: images of another data set may be called as those of training are.
        ancestors: data sets that the weights it began with were trained on.

    Raises:
        DermaSenseError: a label that the model does not know; images that the model has learnt
            from, or may have by the weights it began with; its own data set without a splits.csv
            to tell the test part by.
    """
    refuse_strangers(catalog, class_names, "data")
    catalog = replace(catalog, class_names=tuple(class_names), evaluation_only=True)
    file = splits_file(Path(folder))
    splits = None if file is None else pd.read_csv(file, dtype=str, keep_default_na=False)
    ids = catalog.frame["image_id"].astype(str)
    inside = None if splits is None else ids.isin(_of(splits, "image_id", part))
    if catalog.name == trained_on and (not is_own(catalog.name) or _any(inside)):
        if not _any(inside):
            why = f"{folder} has no splits.csv" if file is None else f"no image of it is in {file}"
            raise DermaSenseError(
                f"data={catalog.name} is what the model was trained on, and {why}, so its {part} "
                "part is not known; name the run's folder and its data, or another data set."
            )
        catalog = replace(catalog, frame=catalog.frame[inside].reset_index(drop=True))
        leaky = catalog.frame["group"].astype(str).isin(_of(splits, "group", "train")).any()
        return Unseen(catalog, part, protocol_of(catalog, leaky=bool(leaky)))
    if catalog.name in ancestors and not is_own(catalog.name):
        raise DermaSenseError(
            f"data={catalog.name}: the model began with weights that were trained on it, so it has "
            "seen images of it; name another data set."
        )
    if splits is not None and not same_names:
        learnt = ids[ids.isin(_of(splits, "image_id", "train", "val"))]
        if len(learnt):
            raise DermaSenseError(
                f"data={catalog.name}: {len(learnt)} images ({learnt.iloc[0]}, ...) were in the "
                "model's training or validation, so it has seen them; leave them out, or say "
                "same_names=true where other images have the same names."
            )
    return Unseen(catalog, None, f"external ({catalog.name}), none of it seen in training")


def check_unseen(option: str, folder: str | Path, prepared: Prepared) -> str:
    """Refuse a model, to learn from or to begin with, that has seen what the run is judged by.

    Args:
        option: that names it, such as "loss.teacher".
        folder: of the model: a run's, a bundle's, an ensemble's, or a file of weights in a bundle.
        prepared: the run's images and their split.

    Returns:
        A sentence where what the model has seen is not known, else "".

    Raises:
        DermaSenseError: naming how many groups of validation or test it has trained on, or was
            chosen by, or images (alone where the run's own split is leaky, or the model is of
            another data set); or a model of another data set that began with weights of the run's.
    """
    place = Path(str(folder)).expanduser().resolve()
    place = place.parent if place.is_file() else place
    catalog, told = prepared.catalog, described(place)
    own = told.get("training_data", catalog.name)
    if own != catalog.name and catalog.name in began_with(told):
        raise DermaSenseError(
            f"{option}={folder}: it began with weights that were trained on {catalog.name}, and it "
            "is not known on which images; take the model it began with, or one of other data."
        )
    file = splits_file(place)
    if file is None:
        return (
            f"It is not known what {option}={folder} was trained on (no splits.csv beside it): "
            "where it has seen these validation or test images, the numbers are too high."
        )
    seen = pd.read_csv(file, dtype=str, keep_default_na=False)
    # Groups of other images may bear the same names; images may stand under another group.
    same = own == catalog.name and (
        not is_own(own) or catalog.frame["image_id"].astype(str).isin(seen["image_id"]).any()
    )
    keys = ("group", "image_id") if same and not prepared.leaky else ("image_id",)
    for part, former in SEEN.items():
        rows = catalog.frame[prepared.split.to_numpy() == part]
        for key in (key for key in keys if key in seen):
            if both := set(rows[key].astype(str)) & _of(seen, key, *former):
                raise DermaSenseError(
                    f"{option}={folder}: trained or was chosen on {len(both)} {key}s of this run's "
                    f"{part} images (first: {min(both)}), so the numbers would be too high; take "
                    f"its own split and seed (split=column split.file={file}; in a "
                    "cross-validation the same folds= and split.seed=)."
                )
    return ""


def _of(splits: pd.DataFrame, column: str, *parts: str) -> set[str]:
    return set(splits.loc[splits["split"].isin(parts), column])


def _any(inside: pd.Series | None) -> bool:
    return inside is not None and bool(inside.any())
