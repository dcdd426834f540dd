"""Which parts of a picture a model's answer rests on; each method or family of them is one file.

A method is a function `explain(network, images, target)`: a :class:`Classifier` whose parameters
ask for no gradient, one picture (1, 3, S, S) uint8 on the network's device, and the place of a
class among its logits, to a map (h, w) of any size, larger where more speaks for the class. A new
one is a file here and a line in `METHODS`.

A map shows what moved this answer. It does not show that the answer is right, nor why the model
learned to look there (Adebayo et al. 2018; Rudin 2019).
"""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from dermasense.errors import check_choice
from dermasense.models.classifier import Classifier


class Method(NamedTuple):
    """How a map is made.

    Attributes:
        name: as people write it.
        module: its file here.
        options: of the file's function.
        quick: takes one pass of the network; others take dozens.
        classless: shows what the network sees, whatever the class.
    """

    name: str
    module: str
    options: Mapping[str, Any]
    quick: bool = False
    classless: bool = False


METHODS = {
    "gradcam": Method("Grad-CAM", "cam", {"kind": "GradCAM"}, quick=True),
    "gradcam_pp": Method("Grad-CAM++", "cam", {"kind": "GradCAMPlusPlus"}, quick=True),
    "hirescam": Method("HiResCAM", "cam", {"kind": "HiResCAM"}, quick=True),
    "eigencam": Method("EigenCAM", "cam", {"kind": "EigenCAM"}, quick=True, classless=True),
    "occlusion": Method("occlusion", "occlusion", {}),
    "integrated_gradients": Method("integrated gradients", "integrated_gradients", {}),
}
QUICK = tuple(key for key, method in METHODS.items() if method.quick)


def check_method(method: str) -> None:
    """Raises DermaSenseError for a method that is not in `METHODS`."""
    check_choice("method", method, METHODS)


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
        DermaSenseError: an unknown method, or a CAM of a network whose map has one place.
    """
    check_method(method)
    made = METHODS[method]
    explain = importlib.import_module(f"{__name__}.{made.module}").explain
    device = next(network.parameters()).device
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]).to(device)
    with torch.inference_mode(False), torch.enable_grad():
        found = explain(network, images, target, **made.options)
    return scaled(cv2.resize(scaled(found), pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def scaled(found: np.ndarray) -> np.ndarray:
    """A map with its negative part cut off and its peak at 1; a flat one is all zeros."""
    found = np.maximum(np.nan_to_num(found.astype(np.float32), posinf=0, neginf=0), 0)
    peak = float(found.max())
    return found / peak if peak > 0 else found
