"""Class activation maps, by the grad-cam library: weighted sums of a late feature map.

Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2), Grad-CAM++ (Chattopadhay et al. 2018), HiResCAM
(Draelos & Carin 2020), EigenCAM (Muhammad & Yeasin 2020), which does not ask for which class.

The library hangs hooks into a model and runs its whole backward pass, which gives nothing on a
frozen one. The classifier can be cut at its feature map, so here it is given only what lies behind
the cut, in a module that lives for one call: no hook is left, and no parameter needs a gradient.

Which map: the last one before an EfficientNet's last stage. It is as fine as the last of all, but
that stage mixes its places over (nearly) the whole picture, so that its strongest place is no place
in the picture; benchmarks/results/explain.csv has both. Of other backbones the last map is taken.
A map of one place is refused: the library takes a map's least value away, which leaves nothing.
"""

import numpy as np
import torch
from torch import nn

from dermasense.errors import DermaSenseError
from dermasense.models.classifier import Classifier

FEATURES = "features"  # the last feature map, of any backbone


class _Tail(nn.Module):
    """From the activation at a boundary to the logits."""

    def __init__(self, network: Classifier, boundary: str) -> None:
        super().__init__()
        self.network, self.boundary, self.here = network, boundary, nn.Identity()

    def forward(self, activation: torch.Tensor) -> torch.Tensor:
        activation = self.here(activation)
        if self.boundary == FEATURES:
            return self.network.head(self.network.pool(activation))
        return self.network.suffix(activation, self.boundary)


def explain(network: Classifier, images: torch.Tensor, target: int, *, kind: str) -> np.ndarray:
    """The map (h, w) of a late feature map; see the package.

    Args:
        network, images, target: as the package says.
        kind: name of a class of `pytorch_grad_cam`.

    Raises:
        DermaSenseError: a feature map of fewer than 2 by 2 places.
    """
    boundary = before_last_stage(network)
    with torch.no_grad():
        if boundary == FEATURES:
            activation = network.features(images)
        else:
            activation = network.prefix(images, boundary)
    height, width = channels_first(activation, network.backbone).shape[2:]
    if min(height, width) < 2:
        raise DermaSenseError(
            f"At {images.shape[-1]} px the network's feature map has {height} x {width} places, "
            "too few for a CAM; explain it by method=occlusion of the command explain."
        )
    return at(network, activation, boundary, target, kind)


def at(
    network: Classifier, activation: torch.Tensor, boundary: str, target: int, kind: str
) -> np.ndarray:
    """The map (h, w) of an activation (1, ...) at a boundary."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    activation = activation.detach().requires_grad_(True)
    tail = _Tail(network, boundary).eval()

    def as_map(values: torch.Tensor) -> torch.Tensor:
        return channels_first(values, network.backbone)

    cam = getattr(pytorch_grad_cam, kind)(tail, [tail.here], reshape_transform=as_map)
    try:
        # The library enlarges its map to what it takes for the picture: here, the activation.
        cam.get_target_width_height = lambda _: tuple(as_map(activation).shape[:1:-1])
        return cam(activation, [ClassifierOutputTarget(target)])[0]
    finally:
        cam.activations_and_grads.release()


def before_last_stage(network: Classifier) -> str:
    """Name of the cut; `FEATURES` where the backbone has none."""
    blocks = [name for name in network.boundaries if name.startswith("blocks.")]
    stages = sorted({int(name.split(".")[1]) for name in blocks})
    if len(stages) < 2:
        return FEATURES
    return [name for name in blocks if int(name.split(".")[1]) == stages[-2]][-1]


def channels_first(features: torch.Tensor, backbone: nn.Module) -> torch.Tensor:
    """Features of any timm backbone as (N, D, h, w).

    Args:
        features: (N, D, h, w), (N, h, w, D) or tokens (N, prefix + h * w, D).
        backbone: tells its format.
    """
    if features.ndim == 3:
        prefix = getattr(backbone, "num_prefix_tokens", 0)
        tokens = features[:, prefix:]
        side = round(tokens.shape[1] ** 0.5)
        return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
    if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        return features.permute(0, 3, 1, 2)
    return features
