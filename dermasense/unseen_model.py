"""What `external` and `stress` begin with: a trained model, and labelled images new to it."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from dermasense.errors import DermaSenseError


class Judged(NamedTuple):
    """A model and the images to judge it by.

    Attributes:
        folder: of the bundle.
        home: the run's folder where the bundle lies in one, else `folder`; see `place_beside`.
        predictor: the model.
        unseen: the images, of :func:`dermasense.inference.unseen.unseen_images`.
    """

    folder: Path
    home: Path
    predictor: Any
    unseen: Any


def check_bundle_named(settings: dict) -> None:
    """Refuses what can be seen before anything is loaded.

    Raises:
        DermaSenseError: no bundle.
    """
    if settings["bundle"] is None:
        raise DermaSenseError("bundle= is needed: a run folder, or a bundle.")


def open_unseen(settings: dict, part: str = "test") -> Judged:
    """Reads the bundle and the catalog, and leaves out what the model has learnt from.

    Args:
        settings: bundle, data, tta, device, engine, batch_size and same_names of the command.
        part: which part of the data that the model was made of.

    Raises:
        DermaSenseError: no such bundle, or data that the model knows or does not understand.
    """
    from dermasense.data.loading import load_catalog
    from dermasense.inference.predictor import Predictor
    from dermasense.inference.unseen import unseen_images
    from dermasense.models.hub_bundle import locate, place_beside
    from dermasense.models.origin import began_with

    folder = locate(settings["bundle"])
    engine = {name: settings[name] for name in ("device", "engine", "batch_size")}
    predictor = Predictor.of(folder, **engine, **settings["tta"])
    if said := predictor.other_views:
        print(said, file=sys.stderr)
    info = predictor.bundle.info
    unseen = unseen_images(
        folder,
        str(info.get("training_data", "")),
        predictor.class_names,
        load_catalog(settings["data"]),
        part=part,
        same_names=settings["same_names"],
        ancestors=began_with(info),
    )
    return Judged(folder, place_beside(settings["bundle"]), predictor, unseen)
