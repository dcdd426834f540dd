"""Optimizers over the parameters that train, with timm's parameter groups."""

import math

import timm.optim
import torch
from torch import nn

from dermasense.errors import DermaSenseError, check_choice

OPTIMIZERS = ("adam", "adamw", "sgd")


def build_optimizer(
    model: nn.Module,
    *,
    name: str,
    lr: float,
    weight_decay: float = 0.0,
    decay_norms_and_biases: bool = True,
    layer_decay: float | None = None,
) -> torch.optim.Optimizer:
    """An optimizer over the parameters of `model` that require gradients.

    Args:
        model: the network; `layer_decay` asks its `group_matcher`, as timm does.
        name: adam, adamw or sgd (with Nesterov momentum .9).
        lr: learning rate of the head, and of all layers without `layer_decay`.
        weight_decay: decoupled for adamw, L2 for the others; >= 0.
        decay_norms_and_biases: False spares every parameter of one dimension.
        layer_decay: factor in (0, 1] from each layer to the one before it (BEiT, Bao et al. 2021).

    Raises:
        DermaSenseError: on an unknown name, or a weight decay that is no good.
    """
    check_choice("optimizer.name", name, OPTIMIZERS)
    known = type(weight_decay) in (int, float) and math.isfinite(weight_decay)
    if not known or weight_decay < 0:
        raise DermaSenseError(f"optimizer.weight_decay={weight_decay}: expected a number >= 0.")
    # On a CPU torch's default walks the tensors one by one: of a step that trains a head on cached
    # activations that would be half. On a GPU, fused steps bar clipping under float16.
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    optimizer = timm.optim.create_optimizer_v2(
        model,
        opt=name,
        lr=lr,
        weight_decay=weight_decay,
        filter_bias_and_bn=not decay_norms_and_biases,
        layer_decay=layer_decay,
        **({"fused": True} if on_cpu else {}),
    )
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
    return optimizer
