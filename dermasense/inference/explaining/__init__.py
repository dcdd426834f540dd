"""Which parts of a picture a model's answer rests on; each method or family of them is one file.

A method is a function `explain(network, images, target)`: a :class:`Classifier` whose parameters
ask for no gradient, one picture (1, 3, S, S) uint8 on the network's device, and the place of a
class among its logits, to a map (h, w) of any size, larger where more speaks for the class. A new
one is a file here and a line in `METHODS`.

A map shows what moved this answer. It does not show that the answer is right, nor why the model
learned to look there (Adebayo et al. 2018; Rudin 2019).
"""

import importlib
from typing import Any

import cv2
import numpy as np
import torch

from dermasense.errors import DermaSenseError, nearest
from dermasense.models.classifier import Classifier

# Name -> module here, and the options of its function.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "gradcam": ("cam", {"kind": "GradCAM"}),
    "gradcam_pp": ("cam", {"kind": "GradCAMPlusPlus"}),
    "hirescam": ("cam", {"kind": "HiResCAM"}),
    "eigencam": ("cam", {"kind": "EigenCAM"}),
    "occlusion": ("occlusion", {}),
    "integrated_gradients": ("integrated_gradients", {}),
}
QUICK = (
    "gradcam",
    "gradcam_pp",
    "hirescam",
    "eigencam",
)  # one pass of the network; others take dozens
CLASSLESS = ("eigencam",)  # show what the network sees, whatever the class
NAMES = {
    "gradcam": "Grad-CAM",
    "gradcam_pp": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "eigencam": "EigenCAM",
    "occlusion": "occlusion",
    "integrated_gradients": "integrated gradients",
}


def check_method(method: str) -> None:
    """Raises DermaSenseError for a method that is not in `METHODS`."""
    if method not in METHODS:
        raise DermaSenseError(f"method={method} is unknown; {nearest(method, METHODS)}")


def attribution(
    network: Classifier, pixels: np.ndarray, target: int, method: str = "hirescam"
) -> np.ndarray:
    """The map of one picture, at the size of the model's pixels.

    Args:
        network: in evaluation mode; it is left as it is, without a hook or a gradient.
        pixels: (S, S, 3) uint8, as `Model.pixels` gives them.
        target: place of the class among the network's own logits.
        method: a name of `METHODS`.

    Returns:
        (S, S) float32 in [0, 1], 1 at its peak; all zeros where nothing speaks for the class.

    Raises:
        DermaSenseError: an unknown method.
    """
    check_method(method)
    file, options = METHODS[method]
    explain = importlib.import_module(f"{__name__}.{file}").explain
    device = next(network.parameters()).device
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]).to(device)
    with torch.inference_mode(False), torch.enable_grad():
        found = explain(network, images, target, **options)
    return scaled(cv2.resize(scaled(found), pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def scaled(found: np.ndarray) -> np.ndarray:
    """A map with its negative part cut off and its peak at 1; a flat one is all zeros."""
    found = np.maximum(np.nan_to_num(found.astype(np.float32), posinf=0, neginf=0), 0)
    peak = float(found.max())
    return found / peak if peak > 0 else found
