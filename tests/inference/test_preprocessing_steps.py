"""Whoever has only model.json arrives at our bytes: here in numpy, without Pillow's resize."""

import math

import numpy as np
import pytest
from PIL import Image

from dermasense.data.preprocess import InputSpec, resize_rgb
from dermasense.inference.preprocessing_steps import preprocessing

HALF = (0.5, 0.5, 0.5)


def sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def bicubic(x):
    x, a = abs(x), -0.5
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


# The formulas of `f`, by hand.
BY_HAND = {
    "lanczos": lambda x: sinc(x) * sinc(x / 3) if -3 <= x < 3 else 0.0,
    "bicubic": bicubic,
    "bilinear": lambda x: max(0.0, 1 - abs(x)),
    "hamming": lambda x: sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x)) if abs(x) < 1 else 0.0,
    "box": lambda x: 1.0 if -0.5 < x <= 0.5 else 0.0,
}


def resize_axis(pixels, n, f, half_width, start, length):
    """The rule along the first axis."""
    size = len(pixels)
    scale = length / n
    s = max(scale, 1.0)
    out = np.empty((n, *pixels.shape[1:]), np.uint8)
    for i in range(n):
        center = start + (i + 0.5) * scale
        first = max(0, math.floor(center - half_width * s + 0.5))
        end = min(size, math.floor(center + half_width * s + 0.5))
        weights = np.array([f((j - center + 0.5) / s) for j in range(first, end)])
        weights = weights / weights.sum() * 2**22
        whole = np.trunc(weights + np.copysign(0.5, weights)).astype(np.int64)
        total = np.tensordot(whole, pixels[first:end].astype(np.int64), axes=1)
        out[i] = ((2**21 + total) >> 22).clip(0, 255)
    return out


def by_the_description(pixels, said):
    steps = {step["step"]: step for step in said["steps"]}
    source, resize = steps["source"], steps["resize"]
    height, width = pixels.shape[:2]
    left = top = 0.0
    if source["part"] == "the centre square":
        side = min(width, height)
        left, top, width, height = (width - side) / 2, (height - side) / 2, side, side
    f, half_width = BY_HAND[resize["filter"]], resize["half_width"]
    n_wide, n_high = resize["width"], resize["height"]

    def along_width(x):
        x = resize_axis(x.transpose(1, 0, 2), n_wide, f, half_width, left, width)
        return x.transpose(1, 0, 2)

    def along_height(x):
        return resize_axis(x, n_high, f, half_width, top, height)

    whole_high, whole_wide = pixels.shape[:2]
    if n_high < whole_high and whole_high - n_high > 2 * (whole_wide - n_wide):
        return along_width(along_height(pixels))
    return along_height(along_width(pixels))


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("interpolation", sorted(BY_HAND))
@pytest.mark.parametrize("size", [(61, 45), (17, 30), (30, 70), (40, 12)])
def test_the_description_alone_leads_to_the_same_pixels(resize, interpolation, size):
    spec = InputSpec(24, resize, HALF, HALF, interpolation=interpolation)
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    expected = resize_rgb(Image.fromarray(pixels), spec)
    np.testing.assert_array_equal(by_the_description(pixels, preprocessing(spec)), expected)


def test_pictures_are_cleaned_once_and_before_they_are_resized():
    spec = InputSpec(24, "squash", HALF, HALF, clean=("hair", "shades_of_grey"))
    steps = preprocessing(spec)["steps"]
    order = [step["step"] for step in steps]
    assert order.count("clean") == 1 and order.index("clean") < order.index("resize")
    assert steps[order.index("clean")]["methods"] == ["hair", "shades_of_grey"]
