"""Augmentation by skin tone: `light`, and L* and b* of the picture moved at random."""

import albumentations as A
import numpy as np

from dermasense.data.augment import Augmentation, light
from dermasense.data.skin import segment, shifted
from dermasense.errors import DermaSenseError, nearest

WHERE = ("picture", "skin")


class ToneShift(A.ImageOnlyTransform):
    """Moves L* and b* by uniform draws; lighter skin is also less yellow, so both are drawn apart.

    Args:
        lightness: largest change of L*, of 100.
        yellowness: largest change of b*.
        where: "picture", or "skin" as `dermasense.data.skin.segment` finds it.
        p: share of images that change.
    """

    def __init__(
        self,
        lightness: float = 15.0,
        yellowness: float = 8.0,
        where: str = "picture",
        p: float = 0.8,
    ):
        super().__init__(p=p)
        self.lightness, self.yellowness, self.where = lightness, yellowness, where

    def get_params(self) -> dict[str, float]:
        return {
            "up": self.py_random.uniform(-self.lightness, self.lightness),
            "warm": self.py_random.uniform(-self.yellowness, self.yellowness),
        }

    def apply(self, img: np.ndarray, up: float, warm: float, **_) -> np.ndarray:
        skin = segment(img)[0] if self.where == "skin" else None
        return shifted(img, up, warm, skin)

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        return ("lightness", "yellowness", "where")


def tone(
    image_size: int,
    *,
    crop: float = 0.85,
    brightness: float = 0.1,
    contrast: float = 0.1,
    lightness: float = 15.0,
    yellowness: float = 8.0,
    where: str = "picture",
    share: float = 0.8,
) -> Augmentation:
    """`light` with random skin tones.

    Args:
        image_size: side of the result in pixels.
        crop, brightness, contrast: as in `light`.
        lightness: largest change of L*, of 100; medians of types I and VI lie about 30 apart.
        yellowness: largest change of b*.
        where: "picture", which keeps the contrast between lesion and skin, or "skin" alone.
        share: of images that change their tone.

    Raises:
        DermaSenseError: for a value out of range.
    """
    if where not in WHERE:
        raise DermaSenseError(f"augment.where={where} is not known; {nearest(where, WHERE)}")
    for option, value, high in (
        ("lightness", lightness, 60),
        ("yellowness", yellowness, 40),
        ("share", share, 1),
    ):
        if isinstance(value, bool | str) or not 0 <= value <= high:
            raise DermaSenseError(f"augment.{option}={value} must be a number from 0 to {high}")
    base = light(image_size, crop=crop, brightness=brightness, contrast=contrast)
    shift = ToneShift(lightness=lightness, yellowness=yellowness, where=where, p=share)
    return Augmentation([*base.compose.transforms, shift])
