"""A bundle's answers to spoilt pictures: each is read once, then spoilt in every way asked for."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from PIL import Image

from dermasense.data.corruptions import CORRUPTIONS, STRENGTHS
from dermasense.data.lesion_mask import lesion_mask
from dermasense.data.occlusions import OCCLUSIONS
from dermasense.data.preprocess import UnreadableImage, read_rgb, resize_rgb
from dermasense.inference.predictor import Predictor

# A picture is first reduced to this shorter side, in pixels: what a corruption does to more pixels
# than that, no input size in use would show.
MOST = 450
_CHUNK = 32
CLEAN = "clean"


@dataclass(frozen=True)
class Condition:
    """One way to spoil pictures: `kind` is "clean", "corruption" or "occlusion"."""

    kind: str
    name: str
    strength: int = 0

    @property
    def key(self) -> str:
        """For file names: clean, blur_3, lesion_black."""
        return f"{self.name}_{self.strength}" if self.strength else self.name


@dataclass
class Answers:
    """Logits by condition.

    Attributes:
        kept: which of the images asked about could be read, bool (N,).
        logits: (n, C) float32 by key of the condition, n the images kept.
        found: for each image kept, whether the rule found a lesion; empty without occlusions.
        unreadable: why each image that was left out was.
    """

    kept: np.ndarray
    logits: dict[str, np.ndarray]
    found: np.ndarray
    unreadable: list[str] = field(default_factory=list)


def conditions(corruptions: Sequence[str], occlusions: bool) -> list[Condition]:
    """Clean first, then each corruption at each strength, then the occlusions."""
    spoilt = [Condition("corruption", name, s) for name in corruptions for s in STRENGTHS]
    hidden = [Condition("occlusion", name) for name in OCCLUSIONS] if occlusions else []
    return [Condition("clean", CLEAN), *spoilt, *hidden]


def answer(
    predictor: Predictor,
    frame: pd.DataFrame,
    asked: Sequence[Condition],
    *,
    seed: int = 0,
    skip: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Ask the model about every picture under every condition.

    What a corruption draws is a function of (seed, image_id, its name) alone.

    Args:
        predictor: the model.
        frame: image_id and path of the pictures.
        asked: of :func:`conditions`.
        seed: of the draws.
        skip: leave unreadable pictures out instead of raising.
        progress: called with (pictures done, of all).

    Raises:
        UnreadableImage: a picture that cannot be decoded.
    """
    hidden = any(each.kind == "occlusion" for each in asked)
    kept, found, unreadable = np.ones(len(frame), bool), [], []
    parts: dict[str, list[np.ndarray]] = {each.key: [] for each in asked}
    for first in range(0, len(frame), _CHUNK):
        rows = range(first, min(first + _CHUNK, len(frame)))
        pixels: dict[str, list[np.ndarray]] = {each.key: [] for each in asked}
        for row in rows:
            try:
                picture = _read(predictor, frame["path"].iloc[row])
            except UnreadableImage as error:
                if not skip:
                    raise
                kept[row] = False
                unreadable.append(str(error))
                continue
            lesion = lesion_mask(picture) if hidden else None
            if lesion is not None:
                found.append(lesion.found)
            for each in asked:
                image_id = str(frame["image_id"].iloc[row])
                spoilt = _spoil(picture, each, image_id, seed, lesion)
                pixels[each.key].append(resize_rgb(Image.fromarray(spoilt), predictor.spec))
        for key, images in pixels.items():
            if images:
                parts[key].append(predictor.logits(images))
        if progress:
            progress(rows[-1] + 1, len(frame))
    empty = np.empty((0, len(predictor.class_names)), np.float32)
    logits = {key: np.concatenate([empty, *each]) for key, each in parts.items()}
    return Answers(kept, logits, np.array(found, bool), unreadable)


def _read(predictor: Predictor, path: str) -> np.ndarray:
    picture = read_rgb(path, predictor.spec.max_pixels)
    share = MOST / min(picture.size)
    if share < 1:
        size = [max(1, round(side * share)) for side in picture.size]
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _spoil(picture, condition: Condition, image_id: str, seed: int, lesion) -> np.ndarray:
    if condition.kind == "clean":
        return picture
    if condition.kind == "occlusion":
        return OCCLUSIONS[condition.name](picture, lesion.mask)
    words = [zlib.crc32(each.encode()) for each in (image_id, condition.name)]
    rng = np.random.default_rng([seed, *words])
    return CORRUPTIONS[condition.name](picture, condition.strength, rng)
