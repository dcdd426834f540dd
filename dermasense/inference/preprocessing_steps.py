"""The way from an image file to the network's input, in words and numbers for any language.

It stands in the model.json of an exported model; a test follows it without our code or Pillow's
resize and arrives at the same bytes. The rule is Pillow's, whose release is said beside it.
"""

from typing import Any

import PIL

from dermasense.data.preprocess import FORMATS, InputSpec

# f(x) and the half-width of each filter, for a scale of 1.
FILTERS = {
    "lanczos": ("sinc(x) * sinc(x / 3), sinc(x) = sin(pi x) / (pi x), sinc(0) = 1", 3.0),
    "bicubic": (
        "a = -0.5; |x| < 1: ((a + 2) |x| - (a + 3)) |x|^2 + 1; "
        "1 <= |x| < 2: (((|x| - 5) |x| + 8) |x| - 4) a; else 0",
        2.0,
    ),
    "bilinear": ("1 - |x| for |x| < 1, else 0", 1.0),
    "hamming": ("sinc(x) * (0.54 + 0.46 cos(pi x)) for |x| < 1, else 0", 1.0),
    "box": ("1 for -0.5 < x <= 0.5, else 0", 0.5),
}
_RULE = (
    "Separable: one pass along the width and one along the height, each rounded to uint8; an axis "
    "whose length stays is left out. For "
    "output i of n along an axis whose source spans [start, start + length): scale = length / n; "
    "s = max(scale, 1); reach = half_width * s; center = start + (i + 0.5) * scale; "
    "first = max(0, floor(center - reach + 0.5)); end = min(size, floor(center + reach + 0.5)), "
    "size being the whole picture's; weight of source j in first .. end - 1: "
    "f((j - center + 0.5) / s), divided by the sum of the weights, times 2^22, rounded half away "
    "from zero; value = (2^21 + sum(weight * source)) >> 22, clipped to 0 .. 255."
)
# Found by trial with Pillow 13; the releases that always begin with the width differ by a few units
# in pictures that are much taller than wide.
_ORDER = (
    "width first; height first where height < H and H - height > 2 * (W - width), W and H being "
    "the whole picture's"
)
_NEAREST = (
    "output i takes source floor(x(i)); x(0) = start + length / n / 2, x(i + 1) = x(i) + "
    "length / n, added up in double precision"
)


def preprocessing(spec: InputSpec) -> dict[str, Any]:
    """Steps from a file to the tensor that the graph takes, and what the graph does itself.

    Args:
        spec: of the bundle.

    Returns:
        Plain values for JSON.
    """
    side = spec.image_size
    formula, half_width = FILTERS.get(spec.interpolation, (_NEAREST, 0.0))
    return {
        "steps": [
            {
                "step": "decode",
                "formats": list(FORMATS),
                "frame": "the first",
                "refuse": "files cut short, and more than max_pixels pixels",
                "max_pixels": spec.max_pixels,
            },
            {"step": "upright", "by": "EXIF orientation"},
            {
                "step": "rgb",
                "grey": "the same value in all three channels",
                "sixteen_bit": "grey, and colours in PPM: (value + 128) // 257; other colours, and "
                "grey with transparency: value // 256",
                "transparency": "laid on white",
                "colour_profile": "ignored",
            },
            *_cleaning(spec),
            _source(spec),
            {
                "step": "resize",
                "width": side,
                "height": side,
                "filter": spec.interpolation,
                "as_in": f"Pillow {PIL.__version__}",
                "f": formula,
                "half_width": half_width,
                "order": _ORDER,
                "rule": _NEAREST if spec.interpolation == "nearest" else _RULE,
            },
            {"step": "layout", "order": "NCHW", "channels": "RGB", "dtype": "uint8"},
        ],
        "in_the_graph": {
            "formula": "(x / 255 - mean) / std",
            "mean": list(spec.mean),
            "std": list(spec.std),
        },
    }


def _cleaning(spec: InputSpec) -> list[dict[str, Any]]:
    """No step where nothing is cleaned; its methods have no formula to follow without our code."""
    if not spec.clean:
        return []
    note = "in this order, by dermasense.data.cleaning; a graph without it gets other pixels"
    return [{"step": "clean", "methods": list(spec.clean), "note": note}]


def _source(spec: InputSpec) -> dict[str, Any]:
    if spec.resize == "squash":
        return {"step": "source", "part": "the whole picture", "start": [0, 0]}
    return {
        "step": "source",
        "part": "the centre square",
        "side": "min(width, height)",
        "start": ["(width - side) / 2", "(height - side) / 2"],
        "note": "not cut out: the filter sees the pixels around it",
    }
