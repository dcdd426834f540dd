"""Your own images, one folder a class: root/<class>/.../<picture>, or root/<split>/<class>/...

Class order: the folder names sorted as text, or `class_names` as given.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dermasense.data.catalog import NEAR_DUPLICATES, Catalog, what_groups_are
from dermasense.data.duplicates import near_duplicates
from dermasense.data.given_splits import WORDS
from dermasense.data.links import Inside
from dermasense.data.preprocess import PICTURES
from dermasense.data.regular_file import reason_of
from dermasense.errors import DermaSenseError, check_choice

GROUPS = ("image", "folder", "duplicates")
# Everything else in a class's folder counts as a picture, so that one of an unknown format is
# reported and not lost in silence.
IGNORED = (".csv", ".db", ".ini", ".json", ".md", ".parquet", ".txt", ".xml", ".yaml", ".yml")
NO_GROUPS = (
    "no lesion groups given: every image counts as its own lesion; where a lesion has several, the "
    "intervals are too narrow"
)


def catalog(
    root: str,
    group: str = "image",
    split_folders: bool = False,
    class_names: Sequence[str] | None = None,
    cache_dir: str | None = None,
    evaluation_only: bool = False,
    follow_links: bool = False,
) -> Catalog:
    """List the pictures of every class's folder.

    Args:
        root: folder that holds one folder a class.
        group: what must not cross a split: "image" (each on its own), "folder" (one folder a
            lesion or patient inside the class's folder, with all that lies below it) or
            "duplicates" (near-duplicate clusters, for clinical photographs).
        split_folders: True where the folders of `root` are train, val and test, with one folder a
            class in each; `split=column` then takes that split.
        class_names: order of the classes; None takes the folders' names, sorted.
        cache_dir: where near-duplicate clusters are kept.
        evaluation_only: True keeps the images out of training.
        follow_links: True reads links that lead out of `root`.

    Raises:
        DermaSenseError: no such folder, no class folders in it, pictures outside of them, a folder
            that cannot be listed, is linked twice or lies elsewhere, or an unknown `group`.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DermaSenseError(
            f"data=folder: {folder} does not exist; put your images into {folder}/<class>/, or "
            "type data.root=<folder> where they lie elsewhere."
        )
    check_choice("data.group", group, GROUPS)
    folder = folder.absolute()
    tops = _folders(folder)
    if not split_folders and tops and all(name.lower() in WORDS for name in tops):
        raise DermaSenseError(
            f"data=folder: the folders of {folder} are splits, not classes ({', '.join(tops)}); "
            "type data.split_folders=true split=column to take them so."
        )
    inside = Inside([folder], follow_links)
    for top in tops:
        inside.check(str(folder / top), f"data=folder: {top}")
    places = tops
    if split_folders:
        places = [f"{top}/{name}" for top in tops for name in _folders(folder / top)]
    if not places:
        raise DermaSenseError(
            f"data=folder: {folder} holds no folders{' of classes' if tops else ''}; put the "
            "images of each class into a folder named after it, or take data=csv for a table of "
            "labels."
        )
    seen: dict[tuple[int, int], Path] = {}
    names = [name for place in places for name in _pictures(folder, place, seen, inside)]
    depth = 1 if split_folders else 0
    classes = sorted({place.split("/")[depth] for place in places})
    frame = pd.DataFrame({"image_id": names}, dtype=object)
    frame["path"] = [str(folder / name) for name in names]
    frame["label"] = [name.split("/")[depth] for name in names]
    frame["group"] = _groups(frame, group, depth, cache_dir)
    if split_folders:
        frame["split"] = [name.split("/")[0] for name in names]
    frame["origin"] = names
    groups_are = NEAR_DUPLICATES if group == "duplicates" else what_groups_are(frame)
    return Catalog(
        name="folder",
        frame=frame,
        class_names=tuple(map(str, class_names or classes)),
        attributes=(),
        licence="unknown: your own images",
        citation="",
        evaluation_only=evaluation_only,
        note="" if groups_are or evaluation_only else NO_GROUPS,
        groups_are=groups_are,
    )


def _folders(folder: Path) -> list[str]:
    """Folders in `folder`, sorted, without hidden ones and those that begin with an underscore.

    Raises:
        DermaSenseError: pictures beside them, which belong to no class.
    """
    entries = _listing(folder)
    loose = [e.name for e in entries if not _is_folder(e) and _suffix(e.name) in PICTURES]
    if loose:
        raise DermaSenseError(
            f"data=folder: {len(loose)} pictures lie in {folder} itself (first: {min(loose)}), so "
            "they have no class; move each into the folder of its class."
        )
    return sorted(e.name for e in entries if _is_folder(e) and e.name[0] not in "._")


def _pictures(
    root: Path, place: str, seen: dict[tuple[int, int], Path], inside: Inside
) -> list[str]:
    """Paths below `place`, from `root`, sorted; hidden files and tables are left out.

    Links to folders are followed, each folder once.

    Raises:
        DermaSenseError: a folder that cannot be listed, or that a link leads to a second time; a
            link that leads out of `root`.
    """
    folder = root / place
    inside.check(str(folder), f"data=folder: {place}")
    status = folder.stat()
    first = seen.setdefault((status.st_dev, status.st_ino), folder)
    if first != folder:
        raise DermaSenseError(
            f"data=folder: {folder} is a link to a folder that is read already ({first}), so its "
            "pictures would count twice; remove the link."
        )
    found = []
    for entry in _listing(folder):
        name = f"{place}/{entry.name}"
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            found += _pictures(root, name, seen, inside)
        elif _suffix(entry.name) not in IGNORED:
            inside.check(entry.path, f"data=folder: {name}")
            found.append(name)
    return sorted(found)


def _listing(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DermaSenseError(
            f"data=folder: {folder} cannot be listed ({reason_of(error)}); mend its permissions or "
            "move it away."
        ) from None


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself; it is reported with the pictures
        return False


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _groups(frame: pd.DataFrame, group: str, depth: int, cache_dir: str | None) -> pd.Series:
    ids = frame["image_id"]
    if group == "duplicates" and len(frame):
        first: np.ndarray = near_duplicates(frame["path"].tolist(), cache_dir)
        return ids.groupby(first).transform("min")
    if group == "folder":
        # Pictures that lie directly in the class's folder belong to no lesion's folder. The split
        # is no part of the name, so that a lesion in two splits is one group, and refused. Folders
        # inside a lesion's (its visits) part nothing.
        inside = ids.map(lambda name: name.split("/")[depth:])
        return inside.map(lambda parts: "/".join(parts[:2]))
    return ids
