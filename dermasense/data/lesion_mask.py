"""Where the lesion is, by a rule: what differs from the skin at the rim, by Otsu's threshold.

For dermoscopy, where a lesion lies on skin near the middle. Good enough to ask how much of a score
survives without the lesion; docs/robustness.md says how good.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from dermasense.data.skin import to_lab

SIDE = 128  # px of the longer side at which the mask is found
_RIM = 0.08  # of the side: where skin is expected
_DARK = 20.0  # L* below which a corner is the lens's frame
# A mask of less or more of the picture than this is taken for a failure.
LEAST, MOST = 0.01, 0.9


@dataclass(frozen=True)
class LesionMask:
    """The mask, bool (H, W), and whether the rule found one (else an ellipse in the middle)."""

    mask: np.ndarray
    found: bool


def lesion_mask(image: np.ndarray) -> LesionMask:
    """Segment the lesion of one picture.

    Steps: hairs closed; darkening towards the rim undone; distance in CIELAB to the median colour
    of the rim, a little less weight on lightness; Otsu (1979); the frame's corners left out; the
    blobs that are largest for their distance from the middle; holes filled.

    Args:
        image: (H, W, 3) uint8 sRGB.
    """
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    small = cv2.resize(
        image, (max(8, round(width * scale)), max(8, round(height * scale))),
        interpolation=cv2.INTER_AREA,
    )  # fmt: skip
    mask = _segment(small)
    found = LEAST <= mask.mean() <= MOST
    if not found:
        mask = _ellipse(mask.shape)
    full = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return LesionMask(full > 0.5, bool(found))


def grown(mask: np.ndarray, share: float) -> np.ndarray:
    """The mask with a margin of so many of the shorter side all around."""
    reach = max(1, round(share * min(mask.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def skin_colour(image: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Median sRGB of what is neither lesion nor frame, (3,) float."""
    rest = ~lesion & (to_lab(image)[..., 0] > _DARK)
    pixels = image[rest] if rest.any() else image.reshape(-1, 3)
    return np.median(pixels, axis=0)


def _segment(image: np.ndarray) -> np.ndarray:
    closed = cv2.morphologyEx(image, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    lab = to_lab(cv2.GaussianBlur(closed, (0, 0), 1.5))
    frame = _frame(lab[..., 0])
    inside = ~frame
    if inside.mean() < 0.2:
        return np.zeros(frame.shape, bool)
    lab[..., 0] += _vignette(lab[..., 0], inside)
    rim = _rim(inside)
    skin = np.median(lab[rim], axis=0)
    distance = np.linalg.norm((lab - skin) * (0.8, 1.0, 1.0), axis=-1)
    # Paler than skin is a highlight, a scale or a ruler, not pigment.
    distance[lab[..., 0] > skin[0] + 12] = 0
    top = np.percentile(distance[inside], 99)
    scaled = np.clip(distance / max(top, 1e-6) * 255, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(scaled[inside][None], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    raw = ((scaled > threshold * 0.9) & inside).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    raw = cv2.morphologyEx(cv2.morphologyEx(raw, cv2.MORPH_OPEN, kernel), cv2.MORPH_CLOSE, kernel)
    return _filled(_main_blob(raw))


def _vignette(lightness: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """What L* lost towards the outside: a lesion makes the middle darker, the lens the rim.

    In each of twelve rings the fourth fifth of L* stands for skin; where it falls below that of the
    rings within, the lens did it.
    """
    height, width = lightness.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    away = np.hypot(x * width, y * height) / max(height, width)
    edges = np.linspace(0, away.max() + 1e-6, 13)
    rings = [inside & (away >= low) & (away < high) for low, high in pairwise(edges)]
    known = [(i, np.percentile(lightness[r], 80)) for i, r in enumerate(rings) if r.sum() >= 20]
    places, values = np.array(known).T
    lost = np.maximum.accumulate(values) - values
    middles = (edges[:-1] + edges[1:])[places.astype(int)] / 2
    return np.interp(away, middles, lost).astype(np.float32)


def _frame(lightness: np.ndarray) -> np.ndarray:
    """Dark areas that hold a corner of the picture: the round lens."""
    dark = (lightness < _DARK + 5).astype(np.uint8)
    _, labels = cv2.connectedComponents(dark)
    corners = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    frame = np.isin(labels, [each for each in corners if dark[labels == each].all()])
    return cv2.dilate(frame.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)


def _rim(inside: np.ndarray) -> np.ndarray:
    reach = max(2, round(_RIM * max(inside.shape)))
    padded = np.pad(inside.astype(np.uint8), 1)
    core = cv2.erode(padded, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))[1:-1, 1:-1]
    rim = inside & ~core.astype(bool)
    return rim if rim.any() else inside


def _main_blob(raw: np.ndarray) -> np.ndarray:
    """The blob with the most pixels, each counted less the farther from the middle it lies; and
    all others of a fifth of its weight, since a lesion may fall in pieces."""
    count, labels = cv2.connectedComponents(raw)
    if count < 2:
        return np.zeros(raw.shape, bool)
    height, width = raw.shape
    y, x = np.mgrid[0:height, 0:width]
    away = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) / 0.08
    weights = np.bincount(labels.ravel(), np.exp(-away).ravel(), minlength=count)
    weights[0] = 0
    return np.isin(labels, np.flatnonzero(weights >= 0.2 * weights.max())) & (raw > 0)


def _filled(mask: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, -1).astype(bool)


def _ellipse(shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return (x / 0.6) ** 2 + (y / 0.6) ** 2 <= 1
