"""Skin in a picture: where it is, which tone it has (L*, b*, ITA), and how to give it another.

The segmentation is a rule, not a network: pixels of skin-like hue, parted by Otsu's threshold into
the lighter, less red part (taken for skin) and the darker or redder one (lesion). docs/fairness.md
says how good it is.
"""

from dataclasses import dataclass

import cv2
import numpy as np

# Skin of all types lies in these ranges of CIELAB hue angle (degrees), chroma and lightness;
# gloves, drapes, rulers, black corners and white walls do not.
HUE = (0.0, 88.0)
CHROMA = (5.0, 60.0)
LIGHTNESS = (8.0, 97.0)
# Otsu parts any picture in two; where the parts differ by less than this share of the body's own
# lightness they are one skin.
LEAST_CONTRAST = 0.2
# Below this share of the picture the tone is nobody's: a close-up of a lesion, or no skin at all.
LEAST_SKIN = 0.1


@dataclass(frozen=True)
class Tone:
    """Median lightness L* (0..100) and yellowness b* of the skin in a picture."""

    lightness: float
    yellowness: float

    @property
    def ita(self) -> float:
        """Individual typology angle in degrees: atan((L* - 50) / b*) (Chardon et al. 1991).

        Above 55 very light, 41 light, 28 intermediate, 10 tan, -30 brown, below that dark.
        """
        return float(np.degrees(np.arctan2(self.lightness - 50.0, self.yellowness)))


def to_lab(image: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB: (S, S, 3) uint8 -> float32, L* 0..100, a* and b* about -100..100."""
    return cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """The inverse of `to_lab`, colours outside sRGB clipped: (S, S, 3) float32 -> uint8."""
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.rint(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8)


def segment(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of skin and of lesion, bool (S, S) each; what is neither is background.

    Args:
        image: (S, S, 3) uint8.
    """
    blurred = cv2.GaussianBlur(to_lab(image), (0, 0), max(image.shape[0] / 100.0, 0.8))
    light, red, yellow = np.moveaxis(blurred, -1, 0)
    hue, chroma = np.degrees(np.arctan2(yellow, red)), np.hypot(red, yellow)
    body = _within(hue, HUE) & _within(chroma, CHROMA) & _within(light, LIGHTNESS)
    if not body.any():
        return body, body
    # Lesions are darker or redder than the skin around them; one number says both.
    paleness = light - red
    paleness = paleness - _shading(paleness, body)
    low, high = np.percentile(paleness[body], [0.5, 99.5])
    scaled = np.clip(255 * (paleness - low) / max(high - low, 1e-6), 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(scaled[body][None], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    skin = body & (scaled > threshold)
    lesion = body & ~skin
    least = LEAST_CONTRAST * float(np.median(light[body]))
    if not skin.any() or paleness[skin].mean() - paleness[lesion].mean() < least:
        return body, np.zeros_like(body)
    return skin, lesion


def _shading(values: np.ndarray, body: np.ndarray) -> np.ndarray:
    """A quadratic surface through the lighter part of the body: shade is no lesion."""
    height, width = values.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], axis=-1)
    kept = body
    for _ in range(3):
        solved, *_ = np.linalg.lstsq(terms[kept][::7], values[kept][::7], rcond=None)
        surface = terms @ solved
        rest = values - surface
        kept = body & (rest >= np.median(rest[body]) - 8.0)
    return surface - solved[0]


def tone_of(image: np.ndarray, skin: np.ndarray | None = None) -> Tone | None:
    """The tone of a picture's skin; None where less than a tenth of the picture is skin.

    Args:
        image: (S, S, 3) uint8.
        skin: its mask, default that of `segment`.
    """
    skin = segment(image)[0] if skin is None else skin
    if skin.mean() < LEAST_SKIN:
        return None
    values = to_lab(image)[skin]
    return Tone(float(np.median(values[:, 0])), float(np.median(values[:, 2])))


def shifted(
    image: np.ndarray, lightness: float, yellowness: float, skin: np.ndarray | None = None
) -> np.ndarray:
    """The picture with L* and b* moved: (S, S, 3) uint8.

    Args:
        image: (S, S, 3) uint8.
        lightness: added to L*.
        yellowness: added to b*.
        skin: where, bool (S, S), with soft edges of about a fiftieth of the side; None moves the
            whole picture.
    """
    share = np.ones(image.shape[:2], np.float32)
    if skin is not None:
        share = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), max(image.shape[0] / 50.0, 1.0))
    lab = to_lab(image)
    lab[..., 0] = np.clip(lab[..., 0] + lightness * share, 0.0, 100.0)
    lab[..., 2] += yellowness * share
    return to_rgb(lab)


def _within(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return (values >= bounds[0]) & (values <= bounds[1])
