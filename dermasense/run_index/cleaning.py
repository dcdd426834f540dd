"""What may go, and letting it go: never outside the folder of the runs, never through a link."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dermasense.errors import DermaSenseError, check_choice
from dermasense.run_index.found import CACHE, is_held

STATES = ("unfinished", "failed")
WHAT = (*STATES, "caches")


@dataclass(frozen=True)
class Leftover:
    """A folder that may go.

    Attributes:
        path: of it.
        why: in a few words.
        files: how many lie in it.
        size: bytes.
    """

    path: Path
    why: str
    files: int
    size: int


def leftovers(
    root: Path, rows: Sequence[dict], what: Sequence[str], running: Sequence[str] = ()
) -> list[Leftover]:
    """What cleaning would take.

    Args:
        root: folder of the runs.
        rows: the runs to choose from.
        what: of `WHAT`.
        running: names of all runs at work, whether `rows` has them or not: they read the caches.

    Raises:
        DermaSenseError: an unknown word, or caches while a run is at work.
    """
    for word in what:
        check_choice("clean", word, WHAT)
    found = [
        Leftover(row["path"], f"{row['state']}. {row['reason']}".rstrip(". "), *_size(row["path"]))
        for row in rows
        if row["state"] in what and row["kind"] != "cv"
    ]
    cache = root / CACHE
    if "caches" in what and cache.is_dir() and not cache.is_symlink():
        if running:
            raise DermaSenseError(f"clean=caches: {running[0]} is at work and reads them; wait.")
        found.append(
            Leftover(cache, "decoded images and activations, made again on need", *_size(cache))
        )
    return found


def remove(root: Path, found: Sequence[Leftover]) -> list[str]:
    """Deletes them; links in them are deleted, what they point to is not.

    Returns:
        A sentence on each that was left: held by a process, no longer a folder below the root.
    """
    left = []
    for each in found:
        inside = each.path.resolve().is_relative_to(root.resolve()) and each.path != root
        if each.path.is_symlink() or not inside:
            left.append(f"{each.path} was left: it is a link, or lies outside {root}.")
        elif is_held(each.path):
            left.append(f"{each.path} was left: a process is at work in it.")
        else:
            shutil.rmtree(each.path)
    return left


def _size(folder: Path) -> tuple[int, int]:
    files = total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            files += 1
            total += os.lstat(os.path.join(place, name)).st_size
    return files, total
