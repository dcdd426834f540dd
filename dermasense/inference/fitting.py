"""The pictures that a bundle's detector is fitted on: a run's validation part, or a place's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dermasense.data.loading import load_catalog
from dermasense.data.preprocess import UnreadableImage
from dermasense.errors import DermaSenseError
from dermasense.inference.image_sources import UnreadableFile, open_images
from dermasense.inference.labels import labels_of
from dermasense.inference.novelty import Novelty
from dermasense.inference.predictor import Predictor
from dermasense.run_folder import RunFolder

_CHUNK = 256
_MOST = 5000  # more change nothing that can be seen, and take minutes


@dataclass(frozen=True)
class Pictures:
    """Pictures with their lesions.

    Attributes:
        sources: what gives each one's path or bytes.
        groups: lesion of each.
        words: what they are, for people.
    """

    sources: Sequence[Callable[[], str | bytes]]
    groups: Sequence[str]
    words: str


def pictures_of_run(run: Path, root: str | None = None) -> Pictures:
    """The validation part of a run, found by its split and the data source of its config.

    Args:
        run: folder of a finished run.
        root: where the data lie now; None takes the run's own place.

    Raises:
        DermaSenseError: no run, or data that are not there.
    """
    folder = RunFolder(run)
    _, settings = folder.read_config()
    data = dict(settings["data"])
    if root is not None:
        data["source"] = {**data["source"], "root": root}
    frame = load_catalog(data, settings.get("split")).frame.assign(
        image_id=lambda f: f["image_id"].astype(str)
    )
    split = pd.read_csv(folder.splits, dtype=str, keep_default_na=False)
    wanted = split[split["split"] == "val"]
    found = frame.merge(wanted[["image_id", "group"]], on="image_id", suffixes=("_", ""))
    if not len(found):
        raise DermaSenseError(
            f"{run}: none of its validation pictures is in its data; name their place by data.root="
        )
    return _chosen(
        [lambda path=path: path for path in found["path"]],
        found["group"].tolist(),
        f"validation part of {settings['data']['name']}",
    )


def pictures_of_images(place: str, labels: str | None = None) -> Pictures:
    """The pictures of a place, each its own lesion unless a table of labels names it.

    Args:
        place: as :func:`open_images`.
        labels: CSV with image_id, label and lesion_id; matched as `labels_of` does.
    """
    images = open_images(place)
    groups = dict(zip(images.ids, images.ids, strict=True))
    if labels:
        groups |= {each: row.group for each, row in labels_of(images, labels).items()}
    return _chosen(
        [lambda row=row: images.source(row) for row in range(len(images))],
        [groups[each] for each in images.ids],
        f"pictures of {Path(place).name}",
    )


def fit_novelty(
    predictor: Predictor,
    pictures: Pictures,
    false_alarms: float,
    progress: Callable[[int, int], None] | None = None,
) -> Novelty:
    """A detector of the pictures' pooled vectors; unreadable ones are left out.

    Raises:
        DermaSenseError: `false_alarms` is no share, or too few pictures can be read.
    """
    if not 0 < false_alarms < 0.5:
        raise DermaSenseError(f"false_alarms={false_alarms}: expected a share, such as 0.01.")
    vectors, groups = [], []
    pixels: list[np.ndarray] = []
    total = len(pictures.sources)
    for number, (source, group) in enumerate(zip(pictures.sources, pictures.groups, strict=True)):
        try:
            pixels.append(predictor.pixels(source()))
            groups.append(group)
        except (UnreadableImage, UnreadableFile):
            pass
        if pixels and (len(pixels) == _CHUNK or number + 1 == total):
            vectors.append(predictor.embeddings(pixels))
            pixels = []
        if progress:
            progress(number + 1, total)
    if not vectors:
        raise DermaSenseError(f"{pictures.words}: not one can be read.")
    return Novelty.fit(np.concatenate(vectors), groups, false_alarms)


def _chosen(sources: list, groups: list[str], words: str) -> Pictures:
    """At most `_MOST` of them, drawn by chance, the same ones each time."""
    rows = np.random.default_rng(0).permutation(len(sources))[:_MOST]
    rows.sort()
    return Pictures([sources[row] for row in rows], [groups[row] for row in rows], words)
