"""Occlusion (Zeiler & Fergus 2014, section 4.2): hide a square, see how far the answer falls.

It asks nothing of the network but its answers, so it holds for any of them; it takes about a
hundred passes.
"""

import cv2
import numpy as np
import torch

from dermasense.models.classifier import Classifier

_SQUARE = 5  # squares that fit side by side; each moves by half of its side
_BATCH = 16


@torch.no_grad()
def explain(network: Classifier, images: torch.Tensor, target: int) -> np.ndarray:
    """Mean fall of the class's log-probability over the squares that hide a pixel, (S, S),
    smoothed by half a step of theirs.

    A square is filled with the picture's median colour: of a lesion on skin, skin.
    """
    size = images.shape[-1]
    side = max(1, round(size / _SQUARE))
    starts = np.unique(np.linspace(0, size - side, 2 * _SQUARE - 1).round().astype(int))
    places = [(top, left) for top in starts for left in starts]
    fill = images.flatten(2).median(dim=2).values[..., None, None]
    whole = network(images).log_softmax(1)[0, target]
    falls, covers = np.zeros((size, size)), np.zeros((size, size))
    for first in range(0, len(places), _BATCH):
        some = places[first : first + _BATCH]
        hidden = images.repeat(len(some), 1, 1, 1)
        for row, (top, left) in enumerate(some):
            hidden[row, :, top : top + side, left : left + side] = fill[0]
        answers = network(hidden).log_softmax(1)[:, target]
        for fall, (top, left) in zip((whole - answers).tolist(), some, strict=True):
            falls[top : top + side, left : left + side] += fall
            covers[top : top + side, left : left + side] += 1
    return cv2.GaussianBlur(falls / np.maximum(covers, 1), (0, 0), max(1.0, side / 4))
