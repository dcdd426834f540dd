"""The catalog: one table row an image, and everything that can be wrong with it.

Every source returns a `Catalog`; splits, store and training read nothing else about the images.
"""

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from dermasense.data.map_words import but_for_case, how_to_map

# Sources take the table's reader from here, beside the contract that its rows go into.
from dermasense.data.table_file import NOTHING
from dermasense.data.table_file import read_table as read_table
from dermasense.data.table_file import row_origins as row_origins
from dermasense.errors import DermaSenseError, nearest

REQUIRED = ("image_id", "path", "label", "group", "origin")
SHOWN = 20
# Sources of a person's own images: two catalogs of one such name may hold different ones.
OWN_SOURCES = ("csv", "folder", "onehot")
ALONE = "image "  # how the group of an image without one begins
# What a catalog's groups are, as in "no ... stands in two splits".
LESIONS = "lesion"
NEAR_DUPLICATES = "near-duplicate cluster"
NAMED = "group (lesion or patient)"  # by a table or a folder that does not say which
SOME_KNOWN = "known group"  # of images that have one, where others have none
NONE_KNOWN = ""


def is_own(name: str) -> bool:
    """Whether data sets of this name may have no image in common.

    Args:
        name: of a catalog, or of several as one: "csv+folder" may, "ham10000+csv" may not.
    """
    return set(name.split("+")) <= set(OWN_SOURCES)


@dataclass(frozen=True)
class Catalog:
    """Images of one data set, with the names and the order of its classes.

    Attributes:
        name: short name, such as "ham10000".
        frame: one row an image; columns image_id, path (absolute), label (class name), group (the
            lesion or near-duplicate cluster that must not cross a split), origin (where the row
            came from, for messages: "HAM10000_metadata.csv row 17"), then the attributes.
        class_names: THE order of the logits; stored once, nothing downstream sorts again.
        attributes: names of the attribute columns; a missing value is NaN or None.
        licence: licence of the images.
        citation: whom to cite for them.
        evaluation_only: True where the images must never be used for training or for choosing.
        note: shown wherever numbers made from these images are shown.
        groups_are: one of LESIONS, NEAR_DUPLICATES, NAMED, SOME_KNOWN and NONE_KNOWN.
    """

    name: str
    frame: pd.DataFrame
    class_names: tuple[str, ...]
    attributes: tuple[str, ...]
    licence: str
    citation: str
    evaluation_only: bool = False
    note: str = ""
    groups_are: str = NAMED

    def __post_init__(self) -> None:
        absent = [c for c in (*REQUIRED, *self.attributes) if c not in self.frame.columns]
        if absent:
            raise ValueError(f"catalog {self.name!r} lacks the columns {absent}")


def check(catalog: Catalog, *, splits: int = 1, by: str = "group") -> list[str]:
    """All that is wrong with the rows and classes, short of decoding the pictures.

    Args:
        catalog: the table to look at.
        splits: number of parts that each class must reach (3 for train/val/test, k for folds).
        by: "group" or "image": the unit that is handed out whole.

    Returns:
        One sentence a problem, "origin: what; what to do"; empty where all is well.
    """
    kinds = table_problems(catalog, splits=splits, by=by)
    return [*missing_files(catalog.frame).values(), *(p for k in kinds.values() for p in k)]


def table_problems(catalog: Catalog, *, splits: int = 1, by: str = "group") -> dict[str, list[str]]:
    """Problems by kind, without a look at the files: labels, ids, classes."""
    return {
        "label": _labels(catalog.frame, catalog.class_names),
        "image_id": _ids(catalog.frame),
        "class": _classes(catalog, splits, by),
    }


def missing_files(frame: pd.DataFrame) -> dict[int, str]:
    """Positions of rows whose file does not exist, with the sentence that says so."""
    rows = enumerate(zip(frame["path"], frame["origin"], strict=True))
    whys = ((i, path, origin, why_no_file(path)) for i, (path, origin) in rows)
    return {
        i: f"{origin}: {_named(path, why)}; mend or remove the row"
        for i, path, origin, why in whys
        if why
    }


def why_no_file(path: str) -> str:
    """Why a path names no regular file, such as "no such file"; "" where it names one."""
    if not path:
        return "no path"
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        looping = getattr(error, "errno", None) == errno.ELOOP
        return "is a link that leads to itself" if looping else "no such file"
    if stat.S_ISREG(mode):
        return ""
    return f"is {'a folder' if stat.S_ISDIR(mode) else 'a pipe or device'}, no picture"


def _named(path: str, why: str) -> str:
    if not path:
        return why
    if why == "no such file":
        return f"{why} {path}{' (a path of Windows)' if chr(92) in path else ''}"
    return f"{path} {why}"


def fail_on(name: str, kinds: Mapping[str, list[str]], hint: str = "") -> None:
    """Raise ONE error that lists all problems, some of each kind, about twenty lines in all.

    Args:
        name: the catalog's name.
        kinds: sentences by kind, such as {"missing file": [...], "label": [...]}.
        hint: a last line on what else the user may do.

    Raises:
        DermaSenseError: where there is at least one problem.
    """
    kinds = {kind: texts for kind, texts in kinds.items() if texts}
    total = sum(map(len, kinds.values()))
    if not total:
        return
    counts = ", ".join(f"{len(texts)} {kind}" for kind, texts in kinds.items())
    shown: dict[str, int] = dict.fromkeys(kinds, 0)
    while sum(shown.values()) < min(SHOWN, total):
        for kind, texts in kinds.items():
            if shown[kind] < len(texts) and sum(shown.values()) < SHOWN:
                shown[kind] += 1
    lines = [f"data={name}: {total} problem{'s' * (total != 1)} found before training ({counts}):"]
    lines += [f"  {text}" for kind, texts in kinds.items() for text in texts[: shown[kind]]]
    if total > SHOWN:
        lines.append(f"  ... and {total - SHOWN} more")
    raise DermaSenseError("\n".join([*lines, hint] if hint else lines))


def own_groups(groups: pd.Series, image_ids: pd.Series) -> pd.Series:
    """Groups with the missing ones filled: an image without a group is a group of its own."""
    return groups.where(groups.notna(), ALONE + image_ids.astype(str))


def without_group(frame: pd.DataFrame) -> pd.Series:
    """Rows whose group is made of their image_id, which names no lesion, bool (n,)."""
    ids = frame["image_id"].astype(str)
    groups = frame["group"].astype(str)
    return (groups == ids) | (groups == ALONE + ids)


def what_groups_are(frame: pd.DataFrame) -> str:
    """NAMED, SOME_KNOWN or NONE_KNOWN, by the rows that have a group."""
    alone = without_group(frame[frame["image_id"].notna()])
    return NONE_KNOWN if alone.all() else SOME_KNOWN if alone.any() else NAMED


def _labels(frame: pd.DataFrame, class_names: tuple[str, ...]) -> list[str]:
    known, problems = set(class_names), []
    nothing: dict[str, list[str]] = {}  # origins by word
    for label, origin in zip(frame["label"], frame["origin"], strict=True):
        if pd.isna(label):
            problems.append(f"{origin}: no label; fill it in or remove the row")
        elif label in known:
            continue
        elif label in NOTHING:
            nothing.setdefault(label, []).append(origin)
        else:
            help_ = nearest(str(label), class_names)
            problems.append(f"{origin}: unknown label '{label}'; {help_}")
    return problems + [
        f"{rows[0]}: no label ('{word}' counts as none; {len(rows)} such rows); fill it in, or "
        f"leave these rows out by {how_to_map('data', {word: None})}"
        for word, rows in nothing.items()
    ]


def _ids(frame: pd.DataFrame) -> list[str]:
    problems, first = [], {}
    for image_id, origin in zip(frame["image_id"], frame["origin"], strict=True):
        if pd.isna(image_id):
            problems.append(f"{origin}: no image_id; fill it in or remove the row")
        elif image_id in first:
            problems.append(
                f"{origin}: duplicate image_id '{image_id}', first used in {first[image_id]}; "
                "remove or rename one"
            )
        else:
            first[image_id] = origin
    return problems


def _classes(catalog: Catalog, splits: int, by: str) -> list[str]:
    """Empty classes, and classes that cannot reach every split (not asked of evaluation sets)."""
    if len(catalog.frame) == 0:
        return ["the catalog has no images; check data.root"]
    if catalog.evaluation_only:
        return []
    units = units_per_class(catalog.frame, catalog.class_names, by=by)
    images = catalog.frame["label"].value_counts()
    problems, unit = _one_class_twice(images), "group" if by == "group" else "image"
    for name, n in units.items():
        if not images.get(name, 0):
            problems.append(f"class '{name}': no images; add some or remove the class")
        elif n < splits:
            problems.append(
                f"class '{name}': {n} {unit}{'s' * (n != 1)} ({images[name]} images) cannot reach "
                f"{splits} splits; add images from at least {splits - n} more {unit}"
                f"{'s' * (splits - n != 1)} or remove the class"
            )
    return problems


def _one_class_twice(images: pd.Series) -> list[str]:
    """Labels that differ in case or blanks alone, which is seldom meant; `images` by label."""
    spellings: dict[str, list[str]] = {}
    for name in images.index:  # the commonest first
        spellings.setdefault(but_for_case(str(name)), []).append(str(name))
    problems = []
    for names in (each for each in spellings.values() if len(each) > 1):
        both = " and ".join(f"'{name}'" for name in names)
        join = f"join them by {how_to_map('data', dict.fromkeys(names[1:], names[0]))}, or "
        if any(name != name.strip() for name in names):  # a table takes no blanks at the ends
            join = ""
        problems.append(f"the labels {both} differ in case or blanks alone; {join}rename one")
    return problems


def home_class(frame: pd.DataFrame, class_names: tuple[str, ...]) -> pd.Series:
    """The class that each group counts for: the rarest of its labels (by groups; ties by order).

    A lesion has one label, but a near-duplicate cluster may hold two; whole groups are handed out,
    so each must count for exactly one class, and the rarest is the one that can least spare it.

    Returns:
        Class name by group, index sorted by group name (so row order changes nothing).
    """
    pairs = frame[["group", "label"]].drop_duplicates()
    pairs = pairs[pairs["label"].isin(class_names)]
    groups = pairs["label"].value_counts()
    order = {name: (int(groups.get(name, 0)), i) for i, name in enumerate(class_names)}
    homes: dict[str, str] = {}
    for group, label in zip(pairs["group"], pairs["label"], strict=True):
        if group not in homes or order[label] < order[homes[group]]:
            homes[group] = label
    return pd.Series(homes, dtype=object).sort_index()


def units_per_class(
    frame: pd.DataFrame, class_names: tuple[str, ...], *, by: str = "group"
) -> Mapping[str, int]:
    """How many units (groups or images) each class has to hand out, in the order of the names."""
    labels = home_class(frame, class_names) if by == "group" else frame["label"]
    counts = labels.value_counts()
    return {name: int(counts.get(name, 0)) for name in class_names}
