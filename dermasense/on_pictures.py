"""What the commands on pictures share: which pictures, where to, what could not be read."""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError
from dermasense.files import safe_name

BROKEN_FILES = 3  # exit code: done, and some files could not be read


def check_asked(settings: Mapping[str, Any]) -> None:
    """Refuses a call without pictures.

    Raises:
        DermaSenseError: in one sentence.
    """
    if settings["images"] is None:
        raise DermaSenseError(
            "images= is needed: a picture, a folder, a pattern such as 'photos/*.jpg', a .csv or "
            ".parquet with a column path, or a .zip."
        )


def folder_for(out: str | None, parent: str, place: str) -> Path:
    """The folder `out=`, or one below outputs/ that no other place has.

    It is called as the place is; where that is more than a bare name (A/photos, photos.zip), as the
    last of it with a hash of the whole behind.
    """
    if out:
        return Path(out)
    whole = str(Path(place))
    name = safe_name(Path(place).stem).strip("_.")[:100] or "images"
    if name != whole:
        code = hashlib.blake2b(os.fsencode(whole), digest_size=4).hexdigest()
        name = f"{name}_{code}"
    return Path("outputs") / parent / name


def end(skipped: int, out: Path, passed_over: Sequence[str]) -> None:
    """Says what was passed over and what could not be read; of this ends with `BROKEN_FILES`.

    Args:
        skipped: files that could not be read.
        out: folder of the answers.
        passed_over: what lies beside the pictures and is none.

    Raises:
        SystemExit: 3 where files could not be read.
    """
    print(end="", flush=True)
    if passed_over:
        one = len(passed_over) == 1
        files = "1 file or folder" if one else f"{len(passed_over):,} files or folders"
        which = "no picture by its name" if one else "no pictures by their names"
        print(f"{files} passed over, {which} (first: {passed_over[0]})", file=sys.stderr)
    if skipped:
        files = "1 file" if skipped == 1 else f"{skipped:,} files"
        print(f"{files} cannot be read, listed in {out / 'skipped.csv'}", file=sys.stderr)
        sys.exit(BROKEN_FILES)
