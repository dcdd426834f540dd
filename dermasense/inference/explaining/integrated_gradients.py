"""Integrated gradients (Sundararajan et al. 2017, eq. 1): the logit's gain, shared among pixels."""

import cv2
import numpy as np
import torch

from dermasense.models.classifier import Classifier

STEPS = 24
BASELINES = (0.0, 255.0)  # black alone would find nothing in what is dark, as lesions are
_BATCH = 8
_SMOOTH = 1 / 24  # of the side: single pixels are noise to the eye


def explain(network: Classifier, images: torch.Tensor, target: int) -> np.ndarray:
    """What each place adds to the class's logit, summed over colours and smoothed, (S, S)."""
    shares = attributions(network, images, target).sum(1)[0].cpu().numpy()
    return cv2.GaussianBlur(shares, (0, 0), max(1.0, _SMOOTH * images.shape[-1]))


def attributions(network: Classifier, images: torch.Tensor, target: int) -> torch.Tensor:
    """(x - x') times the mean gradient on the way from x' to x, as x is shaped.

    Their sum is the logit of the picture minus that of the baseline (completeness), up to the
    error of `STEPS` midpoints; over several baselines x' it is the mean.
    """
    picture = images.float()
    total = torch.zeros_like(picture)
    # Midpoints of equal steps: their error falls with the square of the number of steps.
    shares = (torch.arange(STEPS, device=picture.device) + 0.5) / STEPS
    for value in BASELINES:
        baseline = torch.full_like(picture, value)
        gradient = torch.zeros_like(picture)
        for some in shares.split(_BATCH):
            way = baseline + some.view(-1, 1, 1, 1) * (picture - baseline)
            way = way.detach().requires_grad_(True)
            logits = network(way)[:, target]
            gradient += torch.autograd.grad(logits.sum(), way)[0].sum(0, keepdim=True)
        total += (picture - baseline) * gradient / STEPS
    return total / len(BASELINES)
