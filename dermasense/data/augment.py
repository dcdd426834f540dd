"""Random changes of a training image. Every draw is a pure function of the seed that comes with it.

Albumentations keeps its generators inside the pipeline, so forked workers repeat each other's
draws, and its own `set_random_seed` gives every transform of a pipeline the same stream (two
flips with p = .5 then always fire together). Here both generators are made anew from the seed of
the sample and shared along the pipeline, so neither the worker, nor the epoch, nor the order of
reading matters.
"""

import json
import os
import random

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network at import otherwise

import albumentations as A
import cv2
import numpy as np

from dermasense.data.keras_augment import KerasImageDataGenerator
from dermasense.errors import DermaSenseError, nearest

cv2.setNumThreads(0)  # the loader's workers are the parallelism; OpenCV's own threads fight them


class Augmentation:
    """An albumentations pipeline without memory: the same image and seed give the same pixels.

    It can be pickled and sent to workers. One instance serves one thread at a time.
    """

    def __init__(self, transforms: list[A.BasicTransform]) -> None:
        self.compose = A.Compose(transforms)

    @property
    def description(self) -> str:
        """Every transform with its options and the library's release: equal text, equal draws."""
        return json.dumps([A.to_dict(self.compose), cv2.__version__])

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        """Changes one image.

        Args:
            image: (S, S, 3) uint8; it is left as it is.
            seed: any non-negative integer, one for each (run seed, phase, epoch, position).

        Returns:
            (S, S, 3) uint8 in memory of its own.
        """
        seed = int(seed)
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        changed = self.compose(image=image)["image"]
        return changed.copy() if np.may_share_memory(changed, image) else changed


# scipy calls `reflect` the mirror that repeats the edge pixel, which is OpenCV's BORDER_REFLECT.
_FILLS = {"reflect": cv2.BORDER_REFLECT, "nearest": cv2.BORDER_REPLICATE, "wrap": cv2.BORDER_WRAP}


def keras_idg(
    image_size: int,
    *,
    rotation: float = 40.0,
    shift: float = 0.25,
    zoom: float = 0.2,
    shear: float = 0.15,
    brightness: tuple[float, float] = (0.7, 1.4),
    channel_shift: float = 25.0,
    horizontal_flip: bool = True,
    fill: str = "reflect",
) -> Augmentation:
    """The augmentation of the Keras originals; see `KerasImageDataGenerator`.

    Args:
        image_size: unused, the pipeline keeps the size it is given.
        rotation: largest angle in degrees.
        shift: largest shift, as a fraction of the side.
        zoom: zooms are drawn from 1 - zoom to 1 + zoom, for each axis.
        shear: largest angle in DEGREES, as Keras reads it: .15 is nearly nothing.
        brightness: range of the factor.
        channel_shift: largest value added to all channels, of 255.
        horizontal_flip: mirrors half of the images.
        fill: `reflect`, `nearest` or `wrap`, named as in Keras.

    Raises:
        DermaSenseError: for a value out of range; likewise below.
    """
    if fill not in _FILLS:
        raise DermaSenseError(f"augment.fill={fill} is not known; {nearest(fill, _FILLS)}")
    _check(zoom=(zoom, 0, 0.95), shift=(shift, 0, 1), channel_shift=(channel_shift, 0, 255))
    _check(rotation=(rotation, 0, 180), shear=(shear, 0, 60))
    if np.shape(brightness) != (2,) or not 0 <= brightness[0] <= brightness[1]:
        raise DermaSenseError(
            f"augment.brightness={brightness} must be two factors, the lower one first"
        )
    return Augmentation(
        [
            KerasImageDataGenerator(
                rotation=rotation,
                shift=shift,
                zoom=zoom,
                shear=shear,
                brightness=tuple(brightness),
                channel_shift=channel_shift,
                flip=0.5 if horizontal_flip else 0.0,
                border_mode=_FILLS[fill],
            )
        ]
    )


def light(
    image_size: int,
    *,
    crop: float = 0.85,
    brightness: float = 0.1,
    contrast: float = 0.1,
) -> Augmentation:
    """Flips, small crops, a little light: a lesion has no up and no left.

    Args:
        image_size: side of the result in pixels.
        crop: smallest part of the area that a crop keeps, in (0, 1].
        brightness: largest relative change of brightness.
        contrast: largest relative change of contrast.
    """
    _check(crop=(crop, 0.01, 1), brightness=(brightness, 0, 1), contrast=(contrast, 0, 1))
    size = (image_size, image_size)
    return Augmentation(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.RandomResizedCrop(size, scale=(crop, 1.0), ratio=(0.9, 1.1), p=1.0),
            A.RandomBrightnessContrast(brightness, contrast, p=0.8),
        ]
    )


def strong(
    image_size: int,
    *,
    crop: float = 0.6,
    rotation: float = 180.0,
    shift: float = 0.1,
    shear: float = 5.0,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 40.0,
    hue: float = 4.0,
    dropout: float = 0.3,
) -> Augmentation:
    """For fine-tuning the whole network: turns, zoom, colour, small holes.

    All of the geometry is one warp: faster than a chain of turns and crops, and blurred only once.

    Args:
        image_size: unused, the pipeline keeps the size it is given.
        crop: smallest part of the area that the zoom keeps, in (0, 1].
        rotation: largest angle in degrees; 180 with the flip is every orientation.
        shift: largest shift along each axis, as a fraction of the side.
        shear: largest angle of shear in degrees.
        brightness: largest relative change of brightness.
        contrast: largest relative change of contrast.
        saturation: largest change of saturation, of 255.
        hue: largest change of hue, of 180; small, since colour is a diagnostic sign.
        dropout: share of images with one to three holes of 6 to 15 % of the side.
    """
    _check(crop=(crop, 0.01, 1), rotation=(rotation, 0, 180), shift=(shift, 0, 1))
    _check(brightness=(brightness, 0, 1), contrast=(contrast, 0, 1), dropout=(dropout, 0, 1))
    _check(shear=(shear, 0, 60), saturation=(saturation, 0, 255), hue=(hue, 0, 90))
    return Augmentation(
        [
            A.HorizontalFlip(p=0.5),
            A.Affine(
                rotate=(-rotation, rotation),
                scale=(1.0, crop**-0.5),
                keep_ratio=True,
                translate_percent={"x": (-shift, shift), "y": (-shift, shift)},
                shear=(-shear, shear),
                border_mode=cv2.BORDER_REFLECT,
                p=1.0,
            ),
            A.RandomBrightnessContrast(brightness, contrast, p=0.8),
            A.HueSaturationValue(hue, saturation, 0, p=0.8),
            A.CoarseDropout(
                num_holes_range=(1, 3),
                hole_height_range=(0.06, 0.15),
                hole_width_range=(0.06, 0.15),
                fill=128,
                p=dropout,
            ),
        ]
    )


def none(image_size: int) -> None:
    """No augmentation: the decoded pixels as they are."""
    return None


def _check(**options: tuple[float, float, float]) -> None:
    """Raises DermaSenseError for a value below the second or above the third number."""
    for option, (value, low, high) in options.items():
        if isinstance(value, bool | str) or not low <= value <= high:
            raise DermaSenseError(f"augment.{option}={value} must be a number from {low} to {high}")
