"""What Keras' ImageDataGenerator does to an image, as one warp and one table of levels."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network at import otherwise

import albumentations as A
import cv2
import numpy as np


class KerasImageDataGenerator(A.ImageOnlyTransform):
    """`ImageDataGenerator` of Keras 2 (keras/preprocessing/image.py).

    Drawn as in its `get_random_transform`: rotation, two shifts, shear, a zoom for each axis, flip,
    channel shift, brightness. Applied as in its `apply_transform`:

    - one affine map from output to input, centre * R(theta) * shift * shear * zoom * centre^-1,
      bilinear; the flip is folded into it. Shear is [[1, -sin], [0, cos]] of an angle in degrees.
    - the shift of channels adds ONE value to all three and clips to the image's own minimum and
      maximum (it is a change of lightness, not of hue).
    - brightness multiplies and cuts off the fraction, as Pillow's `ImageEnhance.Brightness` does.

    Keras warps in float32 and cuts off the fraction later; here the warp rounds to uint8, and the
    two colour steps are one table. The pixels agree to about two levels of 255.
    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):
        rotation: float
        shift: float
        zoom: float
        shear: float
        brightness: tuple[float, float]
        channel_shift: float
        flip: float
        border_mode: int

    def __init__(
        self,
        rotation: float,
        shift: float,
        zoom: float,
        shear: float,
        brightness: tuple[float, float],
        channel_shift: float,
        flip: float,
        border_mode: int,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.rotation, self.shift, self.zoom, self.shear = rotation, shift, zoom, shear
        self.brightness, self.channel_shift, self.flip = brightness, channel_shift, flip
        self.border_mode = border_mode

    def get_params(self) -> dict[str, float | bool]:
        """Draws one set of parameters; angles in degrees, shifts in fractions of the side."""
        uniform = self.py_random.uniform
        return {
            "theta": uniform(-self.rotation, self.rotation),
            "tx": uniform(-self.shift, self.shift),
            "ty": uniform(-self.shift, self.shift),
            "shear": uniform(-self.shear, self.shear),
            "zx": uniform(1 - self.zoom, 1 + self.zoom),
            "zy": uniform(1 - self.zoom, 1 + self.zoom),
            "flip": self.py_random.random() < self.flip,
            "channel_shift": uniform(-self.channel_shift, self.channel_shift),
            "brightness": uniform(*self.brightness),
        }

    def apply(self, img: np.ndarray, **params: float) -> np.ndarray:
        """Applies drawn parameters to (H, W, 3) uint8."""
        warped = cv2.warpAffine(
            img,
            keras_matrix(img.shape[:2], **{k: params[k] for k in _MATRIX}),
            img.shape[1::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=self.border_mode,
        )
        levels = np.arange(256, dtype=np.float64) + params["channel_shift"]
        levels = np.trunc(np.clip(levels, warped.min(), warped.max()))
        table = np.clip(levels * params["brightness"], 0, 255).astype(np.uint8)
        return cv2.LUT(warped, table)


_MATRIX = ("theta", "tx", "ty", "shear", "zx", "zy", "flip")


def keras_matrix(
    shape: tuple[int, int],
    *,
    theta: float,
    tx: float,
    ty: float,
    shear: float,
    zx: float,
    zy: float,
    flip: bool,
) -> np.ndarray:
    """The (2, 3) map from output (x, y) to input (x, y) that Keras composes.

    Args:
        shape: height and width in pixels.
        theta: rotation in degrees.
        tx: shift as a fraction of the height. Keras applies it along x once it has swapped the
            axes; with one range for both shifts this makes no difference.
        ty: shift as a fraction of the width.
        shear: angle in degrees.
        zx: factor along x of the map to the input: above 1 zooms out.
        zy: the same along y.
        flip: whether the result is mirrored left to right.
    """
    height, width = shape
    angle, slant = np.deg2rad(theta), np.deg2rad(shear)
    cos, sin = np.cos(angle), np.sin(angle)
    mirror = -1.0 if flip else 1.0
    rotation = np.array([[cos, -sin], [sin, cos]])
    inner = np.array([[1.0, -np.sin(slant)], [0.0, np.cos(slant)]]) * [zx * mirror, zy]
    linear = rotation @ inner
    centre = np.array([width / 2 - 0.5, height / 2 - 0.5])
    offset = centre + rotation @ [tx * height, ty * width] - linear @ centre
    return np.column_stack([linear, offset])
