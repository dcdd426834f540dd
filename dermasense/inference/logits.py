"""Logits of every image a loader yields."""

import functools
from collections.abc import Iterable

import numpy as np
import torch

from dermasense.inference.views import averaged_logits
from dermasense.models.boundaries import IMAGE
from dermasense.models.classifier import Classifier


@torch.inference_mode()
def predict_logits(
    model: Classifier,
    batches: Iterable[dict],
    device: str = "cpu",
    boundary: str = IMAGE,
    views: str = "none",
    average: str = "log",
) -> np.ndarray:
    """Logits in float32, in the loader's order.

    Args:
        model: put on `device` and into eval mode, and left so.
        batches: each has images `x`, (n, 3, S, S) uint8, or activations at `boundary`.
        device: where to compute.
        boundary: where in the network the batches enter.
        views: test-time augmentation, names of `dermasense.inference.views`; needs pictures.
        average: of the views, "log" or "probability".

    Returns:
        (N, C) float32.
    """
    model.to(device).eval()
    network = functools.partial(model.suffix, boundary=boundary)
    pixels = (batch["x"].to(device) for batch in batches)
    logits = (averaged_logits(network, each, views, average) for each in pixels)
    return np.concatenate([part.cpu().numpy() for part in logits])
