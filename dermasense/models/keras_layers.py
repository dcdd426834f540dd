"""How many layers Keras sees in an EfficientNet, and which timm modules they are.

The originals unfreeze "the last 15, 25, 35 layers" of `keras.applications.EfficientNetB*` built
with include_top=False. Keras counts activations, batch norms, paddings, reshapes, dropouts and
additions as layers; timm has no module for many of them. The rule is that of
keras/applications/efficientnet.py; its totals are 237 (B0), 339 (B1), 474 (B4), 813 (B7).
"""

import logging

from timm.models import efficientnet, group_parameters
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from timm.models._manipulate import MATCH_PREV_GROUP
from torch import nn

from dermasense.errors import DermaSenseError

logger = logging.getLogger(__name__)

Layer = tuple[str, str | None]


def _block_layers(keras: str, path: str, block: nn.Module, first: bool) -> list[Layer]:
    expands = isinstance(block, InvertedResidual)
    dw_bn, project, project_bn = (
        ("bn2", "conv_pwl", "bn3") if expands else ("bn1", "conv_pw", "bn2")
    )
    layers: list[Layer] = []
    if expands:
        layers += [("expand_conv", "conv_pw"), ("expand_bn", "bn1"), ("expand_activation", None)]
    if block.conv_dw.stride[0] == 2:
        layers += [("dwconv_pad", None)]
    layers += [("dwconv", "conv_dw"), ("bn", dw_bn), ("activation", None)]
    if hasattr(block.se, "conv_reduce"):  # the Lite family has no squeeze-and-excitation
        layers += [("se_squeeze", None), ("se_reshape", None)]
        layers += [("se_reduce", "se.conv_reduce"), ("se_expand", "se.conv_expand")]
        layers += [("se_excite", None)]
    layers += [("project_conv", project), ("project_bn", project_bn)]
    if block.has_skip:
        # Stochastic depth grows from 0 at the first block, where Keras adds no dropout layer.
        layers += [("add", None)] if first else [("drop", None), ("add", None)]
    return [(f"{keras}_{name}", module and f"{path}.{module}") for name, module in layers]


def is_mbconv(backbone: nn.Module) -> bool:
    """Whether the backbone is built as EfficientNet B0 to B8 or Lite, which Keras' rule counts."""
    return isinstance(backbone, efficientnet.EfficientNet) and all(
        type(block) in (DepthwiseSeparableConv, InvertedResidual)
        for stage in backbone.blocks
        for block in stage
    )


def keras_layers(backbone: nn.Module) -> list[Layer]:
    """The layers of a backbone in Keras' order and count.

    For a backbone that Keras' EfficientNet rule does not describe, a layer is a torch module that
    has weights or buffers of its own, or no children, in order of definition. One with both (a
    batch norm that holds its activation, a block with a scale) comes before its children, so among
    the last n only with all of them; the backbone itself ("") is the first where it has weights.

    Args:
        backbone: a timm model made with num_classes=0.

    Returns:
        (Keras' name, path of the timm module or None where timm has no module with weights).
    """
    if not is_mbconv(backbone):
        return [
            (path, path)
            for path, module in backbone.named_modules()
            if _has_own_weights(module)
            or not (any(module.children()) or isinstance(module, nn.Identity))
        ]
    layers: list[Layer] = [("input", None), ("rescaling", None), ("normalization", None)]
    layers += [("stem_conv_pad", None), ("stem_conv", "conv_stem"), ("stem_bn", "bn1")]
    layers += [("stem_activation", None)]
    for i, stage in enumerate(backbone.blocks):
        for j, block in enumerate(stage):
            keras = f"block{i + 1}{chr(ord('a') + j)}"
            layers += _block_layers(keras, f"blocks.{i}.{j}", block, first=i == j == 0)
    return [*layers, ("top_conv", "conv_head"), ("top_bn", "bn2"), ("top_activation", None)]


def _has_own_weights(module: nn.Module) -> bool:
    own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return len(own) > 0


def last_layers(backbone: nn.Module, n: int) -> set[str]:
    """Paths of the timm modules with weights among the last `n` layers as Keras counts them.

    As `model.layers[-n:]` does, an `n` beyond the total means all.
    """
    layers = keras_layers(backbone)
    if n > len(layers):
        logger.warning(
            "unfreeze=%d, but the backbone has %d layers: all of them train", n, len(layers)
        )
    return {path for _, path in layers[max(0, len(layers) - n) :] if path is not None}


def last_blocks(backbone: nn.Module, n: int) -> set[str]:
    """Paths of the parameters' modules in the last `n` blocks and in what follows the last block.

    A block of another backbone than EfficientNet is one layer group of timm's own `group_matcher`;
    parameters that it names in none, such as a last norm, follow the last one.
    """
    if isinstance(backbone, efficientnet.EfficientNet):
        blocks = [f"blocks.{i}.{j}" for i, s in enumerate(backbone.blocks) for j in range(len(s))]
        return {"conv_head", "bn2", *blocks[max(0, len(blocks) - n) :]}
    if not hasattr(backbone, "group_matcher"):
        return {""}
    matcher = backbone.group_matcher(coarse=False)
    if isinstance(matcher, dict):
        matcher = {**matcher, "rest": [("", MATCH_PREV_GROUP)]}
    groups = group_parameters(backbone, matcher)
    names = [groups[key] for key in sorted(groups)]
    return {name.rpartition(".")[0] for group in names[max(0, len(names) - n) :] for name in group}


def trainable_modules(backbone: nn.Module, unfreeze: int | str) -> set[str]:
    """Paths of the backbone's modules that train; "" is the whole backbone.

    Args:
        backbone: a timm model made with num_classes=0.
        unfreeze: 0 (frozen), a number of layers from the end as Keras counts them, "blocks:N"
            (the last N blocks and what follows them) or "all".

    Raises:
        DermaSenseError: for any other value.
    """
    text = str(unfreeze).strip()
    if text == "all":
        return {""}
    if text.isdecimal():
        return last_layers(backbone, int(text)) if int(text) else set()
    kind, _, number = text.partition(":")
    if kind == "blocks" and number.isdecimal():
        return last_blocks(backbone, int(number))
    raise DermaSenseError(
        f"unfreeze={unfreeze} is not understood; say 0 (frozen), a number of layers from the end "
        "(15), 'blocks:N' (the last N blocks) or 'all'"
    )
