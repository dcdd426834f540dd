"""Explanations as pictures: the map laid on the picture, captions, a contact sheet of many."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dermasense.inference.explaining import METHODS
from dermasense.inference.explaining.explanation import Explanation
from dermasense.inference.prediction import DISCLAIMER

COLOURS = "viridis"  # rises evenly in lightness, and can be told with colour-blind eyes
STRONGEST = 0.8  # share of the colour where the map is 1; where it is 0 the picture shows
PANEL = 480  # px of the longer side of each of the two pictures
TILE = 240  # px of the longer side in a contact sheet
_INK, _SOFT, _PAPER = (27, 31, 36), (87, 96, 106), (255, 255, 255)
_LOUD = (164, 14, 38)  # what speaks against the answer
_GAP = 12


def heat(picture: Image.Image, found: np.ndarray) -> Image.Image:
    """A picture with a map laid on it, the more opaque the larger.

    Args:
        picture: RGB, W by H.
        found: (H, W) in [0, 1].
    """
    from matplotlib import colormaps

    colours = colormaps[COLOURS](found, bytes=True)[..., :3].astype(np.float32)
    share = (STRONGEST * found)[..., None]
    mixed = np.asarray(picture, np.float32) * (1 - share) + colours * share
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def overlay(explanation: Explanation) -> Image.Image:
    """The picture, beside it the same with the map, and below what must be known."""
    plain = _resized(explanation.picture, PANEL)
    warm = _resized(explanation.heat(), PANEL)
    width = 2 * plain.width + 3 * _GAP
    lines = [
        (_answer(explanation), 18, _INK),
        *_remarks(explanation),
        (_legend(explanation), 14, _SOFT),
        (DISCLAIMER, 14, _SOFT),
    ]
    lines = [part for line in lines for part in _wrapped(*line, width - 2 * _GAP)]
    height = plain.height + 3 * _GAP + sum(size + 6 for _, size, _ in lines)
    sheet = Image.new("RGB", (width, height), _PAPER)
    sheet.paste(plain, (_GAP, _GAP))
    sheet.paste(warm, (plain.width + 2 * _GAP, _GAP))
    _write(sheet, lines, (_GAP, plain.height + 2 * _GAP))
    return sheet


def contact_sheet(explanations: Sequence[Explanation], columns: int = 4) -> Image.Image:
    """Many pictures with their maps on one sheet, the class and its probability below each."""
    tiles = [fitted(each, TILE).heat() for each in explanations]
    captions = [_short(each) for each in explanations]
    columns = min(columns, len(tiles))
    tall = max(tile.height for tile in tiles) + 76
    wide = max(TILE, max(tile.width for tile in tiles))
    rows = -(-len(tiles) // columns)
    sheet = Image.new(
        "RGB", (columns * (wide + _GAP) + _GAP, rows * (tall + _GAP) + 2 * _GAP + 40), _PAPER
    )
    for number, (tile, words) in enumerate(zip(tiles, captions, strict=True)):
        left = _GAP + (number % columns) * (wide + _GAP)
        top = _GAP + (number // columns) * (tall + _GAP)
        sheet.paste(tile, (left, top))
        _write(sheet, words, (left, top + tile.height + 4), wide)
    foot = [
        part for line in _foot(explanations) for part in _wrapped(*line, sheet.width - 2 * _GAP)
    ]
    _write(sheet, foot, (_GAP, rows * (tall + _GAP) + _GAP))
    return sheet


def fitted(explanation: Explanation, side: int) -> Explanation:
    """The same with picture and map of `side` px on the longer side."""
    picture = _resized(explanation.picture, side)
    found = Image.fromarray(explanation.map).resize(picture.size, Image.Resampling.BILINEAR)
    return replace(explanation, picture=picture, map=np.asarray(found))


def _resized(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    size = tuple(max(1, round(scale * each)) for each in picture.size)
    return picture.resize(size, Image.Resampling.LANCZOS)


def _answer(explanation: Explanation) -> str:
    said = explanation.prediction
    words = f"{explanation.target}: probability {explanation.probability:.1%}"
    if said.answer != explanation.target:
        words += f" (the answer is {said.answer}, {said.confidence:.1%})"
    return words


def _remarks(explanation: Explanation) -> list[tuple[str, int, tuple[int, int, int]]]:
    said = explanation.prediction
    return [(said.remarks, 14, _LOUD if said.refer else _SOFT)] if said.remarks else []


def _legend(explanation: Explanation) -> str:
    method, target = METHODS[explanation.method], explanation.target
    if explanation.empty:
        return explanation.sentence
    if method.classless:
        return f"{method.name}: the brighter, the more the network saw there, whatever the class."
    more = f"the more it speaks for {target}. No proof that it is right."
    return f"{method.name}: the brighter, {more}"


def _short(explanation: Explanation) -> list[tuple[str, int, tuple[int, int, int]]]:
    empty = " (nothing speaks for it)" if explanation.empty else ""
    words = f"{explanation.target} {explanation.probability:.1%}{empty}"
    name = _cut(explanation.image, 12, TILE, from_left=True)
    lines = [(words, 14, _INK), (name, 12, _SOFT)]
    said = explanation.prediction
    if said.refer:
        lines.append((": ".join(["refer", *said.warnings[:1]]), 12, _LOUD))
    return lines


def _foot(explanations: Sequence[Explanation]) -> list[tuple[str, int, tuple[int, int, int]]]:
    method = METHODS[explanations[0].method]
    most = "it speaks for the class named"
    if method.classless:
        most = "the network saw there, whatever the class"
    words = f"{method.name}: the brighter, the more {most}. {DISCLAIMER}"
    return [(words, 13, _SOFT)]


def _write(
    sheet: Image.Image,
    lines: Sequence[tuple[str, int, tuple[int, int, int]]],
    at: tuple[int, int],
    width: int | None = None,
) -> None:
    draw, (x, y) = ImageDraw.Draw(sheet), at
    for words, size, colour in lines:
        draw.text((x, y), _cut(words, size, width), font=_font(size), fill=colour)
        y += size + 6


def _cut(words: str, size: int, width: int | None, *, from_left: bool = False) -> str:
    """Words that fit, their end or their start replaced by an ellipsis where they do not."""
    shown = "".join(each if each.isprintable() else "?" for each in words)
    if width is None or _font(size).getlength(shown) <= width:
        return shown
    while shown and _font(size).getlength(shown + "…") > width:
        shown = shown[1:] if from_left else shown[:-1]
    return f"…{shown}" if from_left else f"{shown}…"


def _wrapped(
    words: str, size: int, colour: tuple[int, int, int], width: int
) -> list[tuple[str, int, tuple[int, int, int]]]:
    lines, line = [], ""
    for word in words.split(" "):
        longer = f"{line} {word}".strip()
        if line and _font(size).getlength(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [(_cut(each, size, width), size, colour) for each in [*lines, line]]


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and knows more alphabets than Pillow's own font."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), size)
