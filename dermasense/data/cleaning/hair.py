"""Hair removal in the manner of DullRazor (Lee et al. 1997): black-hat, thin and long, paint over.

Dark hairs only; light ones stay. Thin dark lines of a lesion (a pigment network, a rim) can be
taken for hairs where they are long and apart from the rest: measure before you switch it on.
"""

import cv2
import numpy as np

WORK = 450  # larger pictures are searched at this shorter side
WIDTH = 17 / 450  # of the thickest hair, as a share of the shorter side
DEPTH = 12  # grey levels by which a hair is darker than what is beside it
LENGTH = 0.16  # of the shortest hair, as a share of the shorter side
THIN = 0.3  # most of the square over its length that a hair fills
LEAST = 32  # shorter side below which there is nothing to tell a hair by


def clean(image: np.ndarray) -> np.ndarray:
    """The picture without its dark hairs; pixels beside them are kept as they are.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    side = min(image.shape[:2])
    if side < LEAST:
        return image
    scale = min(1.0, WORK / side)
    small = image
    if scale < 1:
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = hair_mask(small)
    if not mask.any():
        return image
    painted = cv2.inpaint(small, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    if scale < 1:
        size = image.shape[1::-1]
        painted = cv2.resize(painted, size, interpolation=cv2.INTER_LINEAR)
        mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return np.where(mask[..., None], painted, image)


def hair_mask(image: np.ndarray) -> np.ndarray:
    """Pixels of dark, thin and long things, bool (H, W).

    Args:
        image: (H, W, 3) uint8.
    """
    side = min(image.shape[:2])
    width = max(5, round(side * WIDTH)) | 1
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    found = (cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel) > DEPTH).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    if count == 1:
        return np.zeros(grey.shape, bool)
    across, down = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    # The area of what is about as wide as it is long is a share of its length squared, whatever
    # way it lies; of a line it is its length times its width.
    length = np.hypot(across, down)
    hair = (length >= LENGTH * side) & (stats[:, cv2.CC_STAT_AREA] <= THIN * length**2 / 2)
    hair[0] = False  # the background
    # The soft edge of a hair is lighter than the threshold and still darker than the skin.
    grown = cv2.dilate(hair[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    return grown > 0
