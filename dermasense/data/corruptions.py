"""What cameras, files and rooms do to a picture, at five strengths each: for stress tests only.

A corruption is a function of (picture, strength 1..5, generator). Pictures are (H, W, 3) uint8 sRGB
of any size; lengths scale with the shorter side, so that a strength means the same at any size.
The generator gives what is not the strength (which way it turns, where a hair lies): the same seed
gives the same hair at every strength, or a prefix of the hairs of a greater one.
"""

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from dermasense.data.lesion_painter import ruler_marks
from dermasense.data.lesion_texture import strokes
from dermasense.errors import DermaSenseError, nearest

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
STRENGTHS = (1, 2, 3, 4, 5)
_GAMMA = 2.2
_HAIR, _INK = np.array([38.0, 26.0, 20.0]), np.array([25.0, 25.0, 25.0])  # sRGB


def blur(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Out of focus: a Gaussian of .4, .8, 1.4, 2.2, 3.2 % of the shorter side."""
    sigma = (0.004, 0.008, 0.014, 0.022, 0.032)[strength - 1] * min(image.shape[:2])
    return cv2.GaussianBlur(image, (0, 0), max(sigma, 0.1))


def jpeg(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Saved once more as JPEG of quality 60, 40, 25, 15, 8."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=(60, 40, 25, 15, 8)[strength - 1])
    return np.asarray(Image.open(file).convert("RGB"))


def darkness(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Under-exposed by .4, .8, 1.2, 1.6, 2 stops."""
    return _exposed(image, np.full(3, 2.0 ** (-0.4 * strength)))


def brightness(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Over-exposed by .2, .4, .6, .8, 1 stops; what passes white is lost."""
    return _exposed(image, np.full(3, 2.0 ** (0.2 * strength)))


def colour_cast(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Light of another colour: channel gains in a random direction, .15 to .75 stops apart."""
    direction = rng.normal(size=3)
    direction -= direction.mean()
    return _exposed(image, 2.0 ** (0.15 * strength * direction / np.ptp(direction)))


def rotation(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Turned by 10, 20, 30, 45 or 90 degrees to either side, mirrored at the edges."""
    height, width = image.shape[:2]
    angle = (10, 20, 30, 45, 90)[strength - 1] * rng.choice((-1, 1))
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), float(angle), 1.0)
    return cv2.warpAffine(
        image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def resolution(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Taken with a shorter side of 96, 64, 48, 32, 24 pixels, then enlarged again."""
    height, width = image.shape[:2]
    share = (96, 64, 48, 32, 24)[strength - 1] / min(height, width)
    if share >= 1:
        return image
    small = cv2.resize(
        image, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def hair(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """4, 10, 20, 35, 60 dark hairs across the picture, drawn as in the synthetic pictures."""
    count = (4, 10, 20, 35, 60)[strength - 1]
    cover = strokes(image.shape[:2], rng, count, max(min(image.shape[:2]) / 90, 0.8))
    return _covered(image, 0.85 * cover, _HAIR)


def ruler(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Marks of a ruler along an edge: faint, plain, dark; then along two and three edges."""
    height, width = image.shape[:2]
    py, px = np.mgrid[0:height, 0:width].astype(np.float32)
    side = min(height, width)
    px, py = (px + 0.5 - width / 2) / side, (py + 0.5 - height / 2) / side
    count, ink = ((1, 0.3), (1, 0.6), (1, 0.9), (2, 0.9), (3, 0.9))[strength - 1]
    seed = int(rng.integers(2**32))
    places = ((px, py), (-px, -py), (py * width / height, px * height / width))[:count]
    marks = [ruler_marks(x, y, np.random.default_rng(seed)) for x, y in places]
    return _covered(image, ink * np.max(marks, axis=0), _INK)


CORRUPTIONS: dict[str, Corruption] = {
    each.__name__: each
    for each in (
        blur,
        jpeg,
        darkness,
        brightness,
        colour_cast,
        rotation,
        resolution,
        hair,
        ruler,
    )
}


def corruption_names(words: str) -> tuple[str, ...]:
    """Names between commas, or "all".

    Raises:
        DermaSenseError: for a name that is no corruption.
    """
    if words == "all":
        return tuple(CORRUPTIONS)
    names = tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    for name in names:
        if name not in CORRUPTIONS:
            help_ = nearest(name, [*CORRUPTIONS, "all", "none"])
            raise DermaSenseError(f"corruption={name} is unknown; {help_}")
    return names


def _exposed(image: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Light times gains (3,), in linear light: sRGB taken as a power of 2.2."""
    table = (np.arange(256) / 255.0)[:, None] ** _GAMMA * gains
    table = np.rint(np.clip(table, 0, 1) ** (1 / _GAMMA) * 255).astype(np.uint8)
    return np.stack([table[image[..., c], c] for c in range(3)], axis=-1)


def _covered(image: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> np.ndarray:
    share = np.clip(cover, 0, 1)[..., None]
    return np.rint(image * (1 - share) + share * colour).astype(np.uint8)
