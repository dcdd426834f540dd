"""Shades of grey: takes the colour of the light out of a picture (Finlayson and Trezzi 2004)."""

import numpy as np

P = 6  # of the Minkowski norm: their best, and what skin-image work has kept (Barata et al. 2015)


def clean(image: np.ndarray) -> np.ndarray:
    """The picture under white light.

    The light's colour is e_c = (mean I_c^p)^(1/p) of each channel c; the picture is divided by
    e / |e| * sqrt(3), so that a picture without a cast keeps every value. Taken on the stored
    values, as is usual for dermoscopy, not on linear light. p = 1 would be grey world, infinity
    white patch.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8; values that leave the range are clipped. A picture with a channel that is
        0 throughout stays as it is.
    """
    counts = [np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)]
    powers = (np.arange(256) / 255.0) ** P
    light = np.array([(count @ powers / image[..., 0].size) ** (1 / P) for count in counts])
    if not light.all():
        return image
    gain = np.linalg.norm(light) / (light * np.sqrt(3))
    table = np.rint(np.arange(256)[:, None] * gain).clip(0, 255).astype(np.uint8)
    return np.stack([table[image[..., channel], channel] for channel in range(3)], axis=-1)
