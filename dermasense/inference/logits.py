"""Logits of every image a loader yields."""

from collections.abc import Iterable

import numpy as np
import torch

from dermasense.models.classifier import Classifier


@torch.inference_mode()
def predict_logits(model: Classifier, batches: Iterable[dict], device: str = "cpu") -> np.ndarray:
    """Logits in float32, in the loader's order.

    Args:
        model: put on `device` and into eval mode, and left so.
        batches: each has images `x`, (n, 3, S, S) uint8.
        device: where to compute.

    Returns:
        (N, C) float32.
    """
    model.to(device).eval()
    return np.concatenate([model(batch["x"].to(device)).float().cpu().numpy() for batch in batches])
