"""The dark frame of a dermatoscope (round, or bars) cropped away; other pictures stay whole."""

import cv2
import numpy as np

WORK = 256  # the frame is looked for at this longer side
DARK = 0.22  # of the picture's bright level (its 90th percentile): darker is frame
LEAST = 0.02  # share of the picture that a frame covers at least
LEFT = 0.01  # share of the crop that the frame may still cover
SMALLEST = 0.5  # of the field's sides; a crop below this is none


def clean(image: np.ndarray) -> np.ndarray:
    """The field of view without its frame.

    A frame is what is dark and hangs together with the picture's border. The crop has the centre
    and the proportions of the field around which the frame lies, and is the largest that holds
    hardly any frame: of a round field most of the square inside it.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (h, w, 3) uint8, the picture itself where it has no frame or is dark as a whole.
    """
    height, width = image.shape[:2]
    scale = min(1.0, WORK / max(height, width))
    small = image
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    frame = frame_mask(small)
    if frame.mean() < LEAST:
        return image
    box = _largest_crop(frame)
    if box is None:
        return image
    top, bottom, left, right = (np.array(box) / np.repeat(frame.shape, 2)) * np.repeat(
        [height, width], 2
    )
    return image[int(np.ceil(top)) : int(bottom), int(np.ceil(left)) : int(right)]


def frame_mask(image: np.ndarray) -> np.ndarray:
    """Dark pixels that hang together with the border, bool (H, W).

    Args:
        image: (H, W, 3) uint8.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    dark = (grey < DARK * np.percentile(grey, 90)).astype(np.uint8)
    _, labels = cv2.connectedComponents(dark, connectivity=4)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.isin(labels, np.setdiff1d(border, [0]))


def _largest_crop(frame: np.ndarray) -> tuple[float, float, float, float] | None:
    """Top, bottom, left, right of the crop, or None where none is large enough."""
    # A line of the field counts from where a quarter of the widest is open: specks do not widen it.
    down, across = (~frame).mean(axis=1), (~frame).mean(axis=0)
    rows = np.flatnonzero(down > down.max() / 4)
    columns = np.flatnonzero(across > across.max() / 4)
    ends = np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1], dtype=float)
    middle = np.repeat([ends[:2].mean(), ends[2:].mean()], 2)
    for share in np.arange(1.0, SMALLEST - 1e-9, -0.02):
        top, bottom, left, right = np.rint(middle + share * (ends - middle)).astype(int)
        if frame[top:bottom, left:right].mean() <= LEFT:
            return top, bottom, left, right
    return None
