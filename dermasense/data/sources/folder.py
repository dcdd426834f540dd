"""Your own images, one folder a class: root/<class>/.../<picture>.

Class order: the folder names sorted as text, or `class_names` as given.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dermasense.data.catalog import Catalog
from dermasense.data.duplicates import near_duplicates
from dermasense.errors import DermaSenseError, nearest

GROUPS = ("image", "folder", "duplicates")
# Everything else in a class's folder counts as a picture, so that one of an unknown format is
# reported and not lost in silence.
IGNORED = (".csv", ".db", ".ini", ".json", ".md", ".parquet", ".txt", ".xml", ".yaml", ".yml")
NO_GROUPS = (
    "no lesion groups given: every image counts as its own lesion, so photographs of one lesion "
    "may stand on both sides of the split"
)


def catalog(
    root: str,
    group: str = "image",
    class_names: Sequence[str] | None = None,
    cache_dir: str | None = None,
    evaluation_only: bool = False,
) -> Catalog:
    """List the pictures of every class's folder.

    Args:
        root: folder that holds one folder a class.
        group: what must not cross a split: "image" (each on its own), "folder" (one folder a
            lesion or patient inside the class's folder) or "duplicates" (near-duplicate clusters,
            for clinical photographs).
        class_names: order of the classes; None takes the folders' names, sorted.
        cache_dir: where near-duplicate clusters are kept.
        evaluation_only: True keeps the images out of training.

    Raises:
        DermaSenseError: no such folder, no class folders in it, or an unknown `group`.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DermaSenseError(
            f"data=folder: {folder} does not exist; put your images into {folder}/<class>/, or "
            "type data.root=<folder> where they lie elsewhere."
        )
    if group not in GROUPS:
        raise DermaSenseError(f"data.group={group} is unknown; {nearest(group, GROUPS)}")
    folder = folder.absolute()
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._")
    if not classes:
        raise DermaSenseError(
            f"data=folder: {folder} holds no folders; put the images of each class into a folder "
            "named after it, or take data=csv for a table of labels."
        )
    names = [name for label in classes for name in _pictures(folder, label)]
    frame = pd.DataFrame({"image_id": names}, dtype=object)
    frame["path"] = [str(folder / name) for name in names]
    frame["label"] = [name.split("/")[0] for name in names]
    frame["group"] = _groups(frame, group, cache_dir)
    frame["origin"] = names
    return Catalog(
        name="folder",
        frame=frame,
        class_names=tuple(map(str, class_names or classes)),
        attributes=(),
        licence="unknown: your own images",
        citation="",
        evaluation_only=evaluation_only,
        note=NO_GROUPS if group == "image" and not evaluation_only else "",
    )


def _pictures(folder: Path, label: str) -> list[str]:
    """Paths below `folder`, with forward slashes, sorted; hidden files and tables are left out."""
    found = []
    for place, folders, files in os.walk(folder / label):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            (Path(place) / file).relative_to(folder).as_posix()
            for file in files
            if not file.startswith(".") and Path(file).suffix.lower() not in IGNORED
        ]
    return sorted(found)


def _groups(frame: pd.DataFrame, group: str, cache_dir: str | None) -> pd.Series:
    ids = frame["image_id"]
    if group == "duplicates" and len(frame):
        first: np.ndarray = near_duplicates(frame["path"].tolist(), cache_dir)
        return ids.groupby(first).transform("min")
    if group == "folder":
        # Pictures that lie directly in the class's folder belong to no lesion's folder.
        return ids.map(lambda name: name.rsplit("/", 1)[0] if name.count("/") > 1 else name)
    return ids
