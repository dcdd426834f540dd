"""Parts of a picture taken away, to see what a model's answers rest on: for shortcut tests only.

A model that knows lesions must fail without them. What it still scores comes from the rest: skin,
hairs, rulers, the lens, the site (after Bissoto et al. 2019, "(De)Constructing Bias on Skin Lesion
Datasets": only skin, bounding box, box of at least 70 %).
"""

from collections.abc import Callable

import numpy as np

from dermasense.data.lesion_mask import grown, skin_colour

# Around the mask, of the shorter side: a rim of lesion left over would be a part of it.
MARGIN = 0.05
Occlusion = Callable[[np.ndarray, np.ndarray], np.ndarray]


def lesion_to_skin(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The lesion painted over with the colour of the skin; a trace of its outline may stay."""
    return _painted(image, grown(mask, MARGIN), skin_colour(image, mask))


def lesion_black(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The lesion black: its outline and size stay, its colours and structures go."""
    return _painted(image, grown(mask, MARGIN), np.zeros(3))


def box_black(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The box around the lesion black: size and place stay, the outline goes."""
    return _painted(image, _box(grown(mask, MARGIN)), np.zeros(3))


def box70_black(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """That box enlarged to 70 % of the picture where it is less: of the lesion nearly nothing."""
    return _painted(image, _box(grown(mask, MARGIN), 0.7), np.zeros(3))


def background_to_skin(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """All but the lesion painted over with the colour of the skin: what the lesion alone tells."""
    return _painted(image, ~grown(mask, MARGIN), skin_colour(image, mask))


OCCLUSIONS: dict[str, Occlusion] = {
    each.__name__: each
    for each in (lesion_to_skin, lesion_black, box_black, box70_black, background_to_skin)
}


def _painted(image: np.ndarray, where: np.ndarray, colour: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[where] = np.rint(colour).astype(np.uint8)
    return image


def _box(mask: np.ndarray, least: float = 0.0) -> np.ndarray:
    """The bounding box of a mask, scaled up about its middle to a share of the picture."""
    height, width = mask.shape
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    ends = np.array([[ys[0], ys[-1] + 1], [xs[0], xs[-1] + 1]], float)
    size, sides = ends[:, 1] - ends[:, 0], np.array([height, width], float)
    share = size.prod() / sides.prod()
    if share < least:
        size = np.minimum(size * np.sqrt(least / share), sides)
        short = least * sides.prod() / size.prod()
        size = np.minimum(size * max(short, 1.0), sides)  # where one side was cut
    low = np.clip(ends.mean(axis=1) - size / 2, 0, sides - size)
    (top, left), (bottom, right) = np.floor(low).astype(int), np.ceil(low + size).astype(int)
    box = np.zeros(mask.shape, bool)
    box[top:bottom, left:right] = True
    return box
