"""Pixels -> logits: normalisation, backbone, pooling and head, cut where the net is frozen."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dermasense.data.preprocess import InputSpec
from dermasense.errors import DermaSenseError, nearest
from dermasense.models import keras_layers
from dermasense.models import weights as pretrained
from dermasense.models.backbones import check_size, create_backbone
from dermasense.models.boundaries import IMAGE, POOLED, cut_points
from dermasense.models.depthwise import quicken
from dermasense.models.heads import build_head, head_options
from dermasense.models.layer_groups import backbone_groups


class Classifier(nn.Module):
    """Backbone and head behind one normalisation, so that no door can apply it twice or forget it.

    The forward pass is a chain of named boundaries; `suffix(prefix(x, b), b)` runs the very
    operations of `forward(x)`, so an activation cached at `b` loses nothing. All random draws
    (dropout, drop path) come from torch's global generator.

    Args:
        backbone: a timm model made with num_classes=0.
        head: maps the pooled vector (N, D) to logits (N, C).
        mean: per channel, on the 0..1 scale.
        std: per channel, on the 0..1 scale.
        channels_last: keep pictures and activations in NHWC memory, faster on CPUs and GPUs.

    Attributes:
        boundaries: names of the cut points, from "image" to "pooled".
        constant_boundary: the latest boundary before which nothing trains: "pooled" where the
            whole backbone is frozen, "image" where its first layer trains.
        recipe: what builds the same architecture again (backbone, head, num_classes); the bundle
            stores it.

    Shape: uint8 or float of 0..255, (N, 3, S, S) -> (N, C).
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        quicken(backbone)
        self.backbone, self.head = backbone, head
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.channels_last = channels_last
        self.recipe: dict[str, Any] = {}
        self._cuts = cut_points(backbone)
        self.boundaries = tuple(self._cuts)
        self.constant_boundary = IMAGE
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) of pictures (N, 3, S, S), uint8 or float of 0..255."""
        return self.suffix(images, IMAGE)

    def prefix(self, images: torch.Tensor, boundary: str) -> torch.Tensor:
        """The activation at a boundary: the pictures themselves at "image", (N, D) at "pooled"."""
        return self.between(images, IMAGE, boundary)

    def between(self, activation: torch.Tensor, start: str, end: str) -> torch.Tensor:
        """The activation at the boundary `end`, from the one at `start`, which lies before it."""
        x = activation
        for name in self.boundaries[self._position(start) + 1 : self._position(end) + 1]:
            x = self._step(name, x)
        return x

    def suffix(self, activation: torch.Tensor, boundary: str) -> torch.Tensor:
        """Logits (N, C) from what `prefix` gave at the same boundary; it is left unchanged."""
        x = activation
        for name in self.boundaries[self._position(boundary) + 1 :]:
            x = self._step(name, x)
        return self.head(x)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The last feature map, (N, D, h, w) in a convolutional backbone."""
        if len(self.boundaries) > 2:
            return self.prefix(images, self.boundaries[-2])
        return self.backbone.forward_features(self.normalise(images))

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Pooled vector (N, D) of a feature map from `features`."""
        if len(self.boundaries) > 2:
            return self._step(POOLED, features)
        return self.backbone.forward_head(features)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """(x / 255 - mean) / std in float32, whatever autocast says, then in the weights' type."""
        x = self._laid_out(images)
        x = (x.float() / 255 - self.mean) / self.std
        return x.to(next((p.dtype for p in self.backbone.parameters()), x.dtype))

    def freeze(self, unfreeze: int | str) -> None:
        """Choose what trains: the head always, of the backbone what `unfreeze` says.

        Args:
            unfreeze: 0, layers from the end as Keras counts them, "blocks:N" or "all"; see
                `dermasense.models.keras_layers`.

        Raises:
            DermaSenseError: where `unfreeze` is not understood.
        """
        trainable = keras_layers.trainable_modules(self.backbone, unfreeze)
        self.backbone.requires_grad_(False)
        for path in trainable:
            self.backbone.get_submodule(path).requires_grad_(True)
        self.head.requires_grad_(True)
        self.constant_boundary = IMAGE
        for name in self.boundaries:
            if any(p.requires_grad for m in self._modules_of(name) for p in m.parameters()):
                break
            self.constant_boundary = name
        self.train(self.training)

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode for what trains; what is constant stays in eval mode.

        Everything up to `constant_boundary` stays in eval mode (drop path too, or its output would
        not be constant), and so does every batch norm that does not train, wherever it lies.
        """
        super().train(mode)
        if mode:
            self.backbone.train(self.constant_boundary != POOLED)
            for name in self.boundaries[: self._position(self.constant_boundary) + 1]:
                for module in self._modules_of(name):
                    module.eval()
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm) and not _trains(module):
                    module.eval()
        return self

    def group_matcher(self, coarse: bool = False) -> Any:
        """Layer groups for timm's layer-wise learning-rate decay: the backbone's, the head last."""
        return backbone_groups(self.backbone, coarse)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that timm's optimizer factory keeps free of weight decay."""
        names = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in names}

    def modules_before(self, boundary: str) -> nn.ModuleList:
        """All modules between the pictures and a boundary, in order."""
        names = self.boundaries[: self._position(boundary) + 1]
        return nn.ModuleList(module for name in names for module in self._modules_of(name))

    def _step(self, name: str, x: torch.Tensor) -> torch.Tensor:
        if len(self.boundaries) == 2:
            return self.pool(self.features(x))
        x = self.normalise(x) if name == self.boundaries[1] else self._laid_out(x)
        if name == POOLED and x.requires_grad:
            # A mean's gradient comes in NCHW: batch norm and activation would each be slow on it.
            x.register_hook(self._laid_out)
        for module in self._modules_of(name):
            x = module(x)
        return x

    def _laid_out(self, x: torch.Tensor) -> torch.Tensor:
        if self.channels_last and x.ndim == 4:
            return x.contiguous(memory_format=torch.channels_last)
        return x

    def _modules_of(self, boundary: str) -> list[nn.Module]:
        return [self.backbone.get_submodule(path) for path in self._cuts[boundary]]

    def _position(self, boundary: str) -> int:
        if boundary not in self._cuts:
            raise DermaSenseError(
                f"boundary '{boundary}' does not exist; {nearest(boundary, self.boundaries)}"
            )
        return self.boundaries.index(boundary)


def _trains(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters(recurse=False))


def assemble(
    backbone: nn.Module, recipe: Mapping[str, Any], spec: InputSpec, channels_last: bool = True
) -> Classifier:
    """Backbone and a fresh head as `recipe` says, normalising as `spec` says."""
    width = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    head = build_head(in_features=width, num_classes=recipe["num_classes"], **recipe["head"])
    classifier = Classifier(backbone, head, spec.mean, spec.std, channels_last)
    classifier.recipe = dict(recipe)
    return classifier


def build_classifier(
    *,
    backbone: str,
    num_classes: int,
    head: Mapping[str, Any],
    image_size: int,
    weights: str | None = "none",
    resize: str = "squash",
    interpolation: str | None = None,
    channels_last: bool = True,
    drop_path: float = 0.0,
    clean: Sequence[str] = (),
    class_names: Sequence[str] = (),
) -> tuple[Classifier, InputSpec, dict[str, Any]]:
    """A classifier with pretrained backbone, its head too where it fits, and what it must be fed.

    Args:
        backbone: name of any timm model.
        num_classes: C.
        head: "name" and its options; see `dermasense.models.heads`.
        image_size: side of the square input, in pixels.
        weights: "timm", "package", "none" or a file; see `dermasense.models.weights`.
        resize: "squash" or "crop"; see InputSpec.
        interpolation: resampling filter; None takes the one the backbone was trained with.
        channels_last: NHWC memory.
        drop_path: rate of stochastic depth at the last block, in [0, 1).
        clean: what is done to a picture before it is resized; see InputSpec.
        class_names: C, in the order of the logits: the head of a trained model comes along where
            it is of this kind and for these. () starts it anew.

    Returns:
        The classifier (nothing frozen), the input spec (mean, std and interpolation of the
        backbone), and the provenance of the weights: that of `dermasense.models.weights.load`,
        and `head`, a sentence on the head where the weights are those of a classifier.

    Raises:
        DermaSenseError: for an unknown backbone or head, a size that the backbone cannot take, or
            weights that cannot be had.
    """
    recipe = {
        "backbone": backbone,
        "head": {"name": head["name"], **head_options(**head)},
        "num_classes": num_classes,
    }
    architecture = {"drop_path_rate": drop_path} if drop_path else {}
    net = create_backbone(backbone, **architecture)
    check_size(net, backbone, image_size)
    net, provenance = pretrained.load(net, backbone, weights, **architecture)
    cfg = net.pretrained_cfg
    spec = InputSpec(
        image_size=image_size,
        resize=resize,
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        interpolation=interpolation or cfg.get("interpolation") or "bicubic",
        clean=tuple(clean),
    )
    classifier = assemble(net, recipe, spec, channels_last)
    if class_names:
        told = pretrained.fill_head(classifier.head, head["name"], class_names, weights)
        provenance |= {"head": told} if told else {}
    return classifier, spec, provenance
