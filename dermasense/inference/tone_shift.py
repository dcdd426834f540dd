"""Tones of many pictures, and what a bundle answers where their skin has another."""

from collections.abc import Callable, Sequence

import numpy as np

from dermasense.data.skin import segment, shifted, tone_of
from dermasense.errors import DermaSenseError, nearest
from dermasense.inference.predictor import Predictor

REGIONS = ("skin", "picture")
_CHUNK = 128


def measure(images: Sequence[np.ndarray]) -> np.ndarray:
    """L*, b*, ITA in degrees and share of skin, (N, 4); NaN tones where there is too little skin.

    Args:
        images: (S, S, 3) uint8 each.
    """
    found = np.full((len(images), 4), np.nan)
    for place, image in enumerate(images):
        skin = segment(image)[0]
        tone = tone_of(image, skin)
        found[place, 3] = skin.mean()
        if tone:
            found[place, :3] = tone.lightness, tone.yellowness, tone.ita
    return found


def shifted_logits(
    predictor: Predictor,
    images: Sequence[np.ndarray],
    rows: np.ndarray,
    vectors: np.ndarray,
    region: str = "skin",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Logits (n, C) of images whose L* and b* are moved.

    Args:
        predictor: the bundle.
        images: (S, S, 3) uint8 each.
        rows: (n,) which of them.
        vectors: (n, 2) added to L* and b*.
        region: "skin", or "picture" for all of it, which keeps the contrast of the lesion.
        progress: called with (pictures done, of all).

    Raises:
        DermaSenseError: for an unknown region.
    """
    if region not in REGIONS:
        raise DermaSenseError(f"region={region} is not known; {nearest(region, REGIONS)}")
    masks: dict[int, np.ndarray | None] = {}
    parts = []
    for first in range(0, len(rows), _CHUNK):
        pictures = []
        chunk = slice(first, first + _CHUNK)
        for row, (up, warm) in zip(rows[chunk], vectors[chunk], strict=True):
            if row not in masks:
                masks[row] = segment(images[row])[0] if region == "skin" else None
            pictures.append(shifted(images[row], up, warm, masks[row]))
        parts.append(predictor.logits(pictures))
        if progress:
            progress(min(first + _CHUNK, len(rows)), len(rows))
    return np.concatenate(parts)
