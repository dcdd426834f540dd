"""Writing a data set into its root: pictures first, the table last, so that half is never read."""

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dermasense.data.fetch.dataset import DataSet, Item, Layout
from dermasense.data.fetch.source import Entry, Source, readable
from dermasense.errors import DermaSenseError
from dermasense.files import read_json, remove_abandoned, write_csv, write_json

MARKER = "prepared.json"
DOWNLOADS = "downloads"
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF", b"BM", b"GIF8")


@dataclass(frozen=True)
class Prepared:
    """What was written.

    Attributes:
        root: where.
        table: the table's name.
        classes: images by class, in the order of the names.
        groups: how many groups; None where nobody publishes one.
        left_out: sentences on what was not taken.
    """

    root: Path
    table: str
    classes: dict[str, int]
    groups: int | None
    left_out: tuple[str, ...]

    @property
    def images(self) -> int:
        """Images in all."""
        return sum(self.classes.values())


def already_there(data_set: DataSet, root: Path) -> int | None:
    """Images that an earlier call has put into `root`; None where there was none.

    Raises:
        DermaSenseError: the root holds something else, or some of it is gone.
    """
    if (root / MARKER).is_file():
        before = _read_marker(root / MARKER)
        if before["data_set"] != data_set.name:
            raise DermaSenseError(
                f"{root} holds {before['data_set']} already; choose another root=<folder>."
            )
        there = sum(map(_counts, (name for *_, some in os.walk(root / "images") for name in some)))
        if there != before["images"] or not (root / before["table"]).is_file():
            raise DermaSenseError(
                f"{root} was prepared with {before['images']:,} images and now holds {there:,}; "
                f"delete {root / 'images'} and {root / MARKER} and run this command again."
            )
        return there
    for name in ("images", "HAM10000_images_part_1", "HAM10000_metadata.csv", "labels.csv"):
        if (root / name).exists():
            raise DermaSenseError(
                f"{root} holds {name} already, which this command has not made: read it as it is "
                f"with data.root={root}, or choose another root=<folder>."
            )
    return None


def _counts(name: str) -> bool:
    """False for what file managers leave in folders: .DS_Store, ._a.jpg, Thumbs.db."""
    return not name.startswith(".") and name.lower() != "thumbs.db"


def assemble(data_set: DataSet, place: Path, root: Path) -> Prepared:
    """Lays the files of `place` out below `root` as the data set's reader expects them.

    Pictures of a folder are hard-linked where that can be done, else copied; those of a zip are
    unpacked to a temporary folder, which is renamed when all is there.

    Raises:
        DermaSenseError: the files do not fit, are damaged, or there is no room; nothing is written.
    """
    remove_abandoned(root, ".preparing.*.tmp")
    work = root / f".preparing.{os.getpid()}.tmp"
    try:
        with Source(place, work / "zips") as source:
            layout = data_set.arrange(source)
            _check_room(layout, root)
            kept, no_pictures = _place_all(layout, work)
        left_out = layout.left_out
        if no_pictures:
            left_out += (
                f"{len(no_pictures):,} files are no pictures (first: {no_pictures[0].name})",
            )
        if not kept:
            raise DermaSenseError(f"source={place}: none of its files is a picture.")
        rows = [dict(item.row) for item in kept]
        counts = Counter(row[layout.label] for row in rows)
        prepared = Prepared(
            root=root,
            table=layout.table,
            classes={name: counts[name] for name in sorted(counts)},
            groups=len({row[layout.group] or i for i, row in enumerate(rows)})
            if layout.group
            else None,
            left_out=left_out,
        )
        write_csv(work / layout.table, rows, list(layout.columns))
        write_json(work / MARKER, _marker(data_set, place, prepared))
        for name in ("images", layout.table, MARKER):
            os.replace(work / name, root / name)
    except OSError as error:
        raise DermaSenseError(
            f"{error.filename or root}: cannot be read or written ({error.strerror or error}); "
            "nothing was made, mend that or choose another root=<folder>."
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return prepared


def _place_all(layout: Layout, work: Path) -> tuple[list[Item], list[Entry]]:
    kept, no_pictures = [], []
    for item in layout.items:
        target = work / item.target
        target.parent.mkdir(parents=True, exist_ok=True)
        if _place(item.entry, target):
            kept.append(item)
        elif layout.lenient:
            no_pictures.append(item.entry)
        else:
            raise DermaSenseError(
                f"{item.entry.name} is no picture; get it again, nothing was written."
            )
    return kept, no_pictures


def _place(entry: Entry, target: Path) -> bool:
    """Links, copies or unpacks; False (and no file) where the bytes are those of no picture."""
    with readable(entry.name), entry.open() as handle:
        first = handle.read(16)
        if not first.startswith(_SIGNATURES):
            return False
        if entry.path is None:
            with open(target, "wb") as out:
                out.write(first)
                shutil.copyfileobj(handle, out, 1 << 20)
            return True
    try:
        os.link(entry.path.resolve(), target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(entry.path, target)
    return True


def _check_room(layout: Layout, root: Path) -> None:
    """Unpacked pictures need room; linked ones need none, and a copy that finds none fails."""
    needed = sum(item.entry.size for item in layout.items if item.entry.path is None)
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise DermaSenseError(
            f"{root}: the images need {needed / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB "
            "free; make room or choose another root=<folder>."
        )


def _read_marker(path: Path) -> dict:
    try:
        before = read_json(path)
        return {key: before[key] for key in ("data_set", "images", "table")}
    except (OSError, DermaSenseError, KeyError, TypeError):
        raise DermaSenseError(
            f"{path} is damaged; delete it, and images/ beside it, and run this command again."
        ) from None


def _marker(data_set: DataSet, place: Path, prepared: Prepared) -> dict:
    return {
        "data_set": data_set.name,
        "table": prepared.table,
        "images": prepared.images,
        "classes": prepared.classes,
        "left_out": list(prepared.left_out),
        "source": str(place),
        "page": data_set.page,
        "licence": data_set.licence,
        "citation": data_set.citation,
        "files": [
            {"name": r.name, "url": r.urls[0], "checksum": r.checksum}
            for r in data_set.remotes
            if place == prepared.root / DOWNLOADS
        ],
    }
