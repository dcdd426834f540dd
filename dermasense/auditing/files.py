"""Facts of picture files that a model could cheat with, or that tell how they were made."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image

from dermasense.data.preprocess import FORMATS
from dermasense.data.row_file import in_threads
from dermasense.data.store import DecodedStore, file_digest

CORNER = 0.12  # of the side of the picture: in a corner there is skin or frame, mostly no lesion


def read_facts(paths: Sequence[str], store: DecodedStore) -> pd.DataFrame:
    """One row a file.

    Returns:
        Columns bytes, width, height, format, mode (missing where it cannot be decoded), suffix
        (lower case), reason ("" where it can be decoded in full), digest (of the bytes), pixels (a
        digest of the decoded picture), brightness, corner_brightness (grey levels, 0..255).
    """
    rows = range(len(paths))
    # A header of what the store refused may wait for ever (a pipe) or take all memory.
    headers = pd.DataFrame(
        list(in_threads(lambda row: _header(paths[row], row not in store.unreadable), rows))
    )
    looks = pd.DataFrame(list(in_threads(lambda row: _look(store.images[row]), rows)))
    facts = pd.concat([headers, looks], axis=1)
    facts["reason"] = [store.unreadable.get(row, "") for row in rows]
    facts.loc[facts["reason"] != "", looks.columns] = None
    return facts


def _header(path: str, readable: bool) -> dict:
    facts = {"bytes": None, "width": None, "height": None, "format": None, "mode": None}
    facts |= {"suffix": os.path.splitext(path)[1].lower(), "digest": file_digest(path).hex()}
    try:
        facts["bytes"] = os.path.getsize(path)
        if not readable:
            return facts
        with Image.open(path, formats=FORMATS) as image:
            facts |= {"width": image.width, "height": image.height}
            facts |= {"format": image.format, "mode": image.mode}
    except Exception:  # Pillow's plugins raise what they like; the store says what is wrong
        pass
    return facts


def _look(pixels: np.ndarray) -> dict:
    grey = pixels.mean(axis=2)
    k = max(1, round(CORNER * len(grey)))
    corners = [grey[:k, :k], grey[:k, -k:], grey[-k:, :k], grey[-k:, -k:]]
    return {
        "pixels": hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest(),
        "brightness": float(grey.mean()),
        "corner_brightness": float(np.mean([corner.mean() for corner in corners])),
    }
