"""What may be done to a picture before it is resized: colour, hairs, dark frame; off by default.

One module each, with a function `clean(image)` from (H, W, 3) uint8 to the same, a frame crop to a
smaller one. Each is a function of the picture alone: nothing is learnt, nothing is drawn.
"""

import importlib
from collections.abc import Sequence

import numpy as np

from dermasense.errors import DermaSenseError, check_choice

# Name -> module, imported when asked for: OpenCV is of no use to a run that cleans nothing. The
# number is raised when a method's pixels change, so that no store of the former ones is taken.
CLEANERS = {
    "frame_crop": ("dermasense.data.cleaning.frame_crop", 1),
    "hair": ("dermasense.data.cleaning.hair", 1),
    "shades_of_grey": ("dermasense.data.cleaning.shades_of_grey", 1),
}


def check_cleaners(names: Sequence[str]) -> None:
    """Raises DermaSenseError for an unknown name, or one that stands twice."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise DermaSenseError(f"clean={names}: expected a list such as [hair, shades_of_grey].")
    for name in names:
        check_choice("clean", name, CLEANERS)
    if len(set(names)) != len(names):
        raise DermaSenseError(f"clean names one twice: {', '.join(names)}; name each once.")


def cleaned(image: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A picture after the named methods, in the order given; see `CLEANERS`.

    Args:
        image: (H, W, 3) uint8, left unchanged.
        names: checked by `check_cleaners`.
    """
    for name in names:
        image = importlib.import_module(CLEANERS[name][0]).clean(image)
    return image


def versions(names: Sequence[str]) -> list[str]:
    """What decides about the pixels of these methods, for the key of a store."""
    if not names:
        return []
    import cv2

    return [cv2.__version__, *(f"{name} {CLEANERS[name][1]}" for name in names)]
