"""The forms in which a picture may be given: a path, bytes, an open file, PIL's, an array."""

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from dermasense.errors import DermaSenseError

Picture = str | Path | bytes | BinaryIO | Image.Image | np.ndarray


def is_one(pictures: Any) -> bool:
    """Whether it is a picture, and not several."""
    if isinstance(pictures, np.ndarray):
        return pictures.ndim < 4
    one = str | Path | bytes | bytearray | memoryview | Image.Image | io.IOBase
    return isinstance(pictures, one) or hasattr(pictures, "read")


def name_of(picture: Any, number: int | None) -> str:
    """A picture's path or file name; else "image", or "image 3" where it is one of several."""
    if isinstance(picture, str | Path):
        return str(picture)
    named = getattr(picture, "filename", "") or getattr(picture, "name", "")
    if isinstance(named, str) and named:
        return named
    return "image" if number is None else f"image {number}"


def from_array(array: np.ndarray, name: str) -> Image.Image:
    """An array as a picture; the one door turns it into RGB as it would a file."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    good = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not good or not array.size:
        raise DermaSenseError(
            f"{name}: an array of shape {array.shape} is no picture; give (H, W), (H, W, 3) or "
            "(H, W, 4), channels last."
        )
    if array.dtype == np.uint16 and array.ndim == 3:  # as Pillow reads a file of such colours
        array = (array >> 8).astype(np.uint8)
    elif array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # also refuses NaN
            raise DermaSenseError(
                f"{name}: float values are {array.min():g} to {array.max():g}; give 0 to 1, or "
                "uint8."
            )
        array = np.round(array * 255.0).astype(np.uint8)
    if array.dtype != np.uint8:
        raise DermaSenseError(
            f"{name}: an array of {array.dtype} is no picture; give uint8, uint16, or float from "
            "0 to 1."
        )
    return Image.fromarray(np.ascontiguousarray(array))
