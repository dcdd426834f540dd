"""A network whose reasons are known: "red" is how much red it sees, "green" how much green."""

from pathlib import Path

import numpy as np
import torch

from dermasense.data.preprocess import InputSpec
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import Classifier, assemble
from tests.fakes import OneConvolution

NAMES = ("red", "green", "neither")
SIDE = 48


def network(resize: str = "squash", side: int = SIDE, names=NAMES) -> tuple[Classifier, InputSpec]:
    """The classifier and its input; its logits stand in the order of `names`."""
    torch.manual_seed(0)
    half = (0.5, 0.5, 0.5)
    spec = InputSpec(side, resize, half, half, interpolation="bilinear")
    recipe = {"backbone": "stub", "head": {"name": "linear"}, "num_classes": len(names)}
    made = assemble(_Rectified(), recipe, spec)
    conv, dense = made.backbone.conv, made.head.classifier
    with torch.no_grad():
        for parameter in (conv.weight, conv.bias, dense.weight, dense.bias):
            parameter.zero_()
        for channel, other in ((0, 1), (1, 0)):  # reddish, greenish; two channels stay dark
            conv.weight[channel, channel], conv.weight[channel, other] = 0.3, -0.3
        for row, name in enumerate(names):
            if name != "neither":
                dense.weight[row, NAMES.index(name)] = 9.0
    return made.eval(), spec


def bundle(folder: Path, resize: str = "squash", side: int = SIDE, names=NAMES) -> Path:
    """The same as a bundle; to load it `timm.create_model` must be :func:`backbone`."""
    made, spec = network(resize, side, names)
    return save_bundle(folder, made, spec, names, {"training_data": "squares"})


def backbone(name: str, **options) -> OneConvolution:
    """In the place of `timm.create_model`."""
    return _Rectified()


def picture(width: int = 96, height: int = 72, red=(10, 12), green=(60, 44)) -> np.ndarray:
    """Grey with a red and a green square of 20 px, their upper left corners (x, y) given."""
    image = np.full((height, width, 3), 128, np.uint8)
    for (x, y), colour in ((red, (220, 60, 60)), (green, (60, 220, 60))):
        image[y : y + 20, x : x + 20] = colour
    return image


class _Rectified(OneConvolution):
    def forward_features(self, x):
        return self.conv(x).relu()
