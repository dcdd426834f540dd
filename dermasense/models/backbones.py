"""timm backbones by name, and the one sentence where there is none of that name."""

from typing import Any

import timm
import torch
from torch import nn

from dermasense.errors import DermaSenseError, first_line, nearest
from dermasense.models.multiscale import at_scales, split_name


def create_backbone(name: str, **options: Any) -> nn.Module:
    """A timm model without classifier and without weights.

    Args:
        name: as timm knows it, with or without a pretrained tag ("tf_efficientnet_b1.aa_in1k"), and
            scales where it looks in several; see `dermasense.models.multiscale`.
        options: more arguments of the model's constructor, such as drop_path_rate.

    Raises:
        DermaSenseError: where timm has no such model or tag, with the nearest names.
    """
    name, merge, scales = split_name(name)
    backbone = _plain(name, **options)
    return at_scales(backbone, merge, scales) if scales else backbone


@torch.no_grad()
def check_size(backbone: nn.Module, name: str, image_size: int) -> None:
    """Tries a picture where timm says that a backbone has one input size; many take others, too.

    Args:
        backbone: as `create_backbone` makes it.
        name: what the configuration calls it.
        image_size: side of the square input, in pixels.

    Raises:
        DermaSenseError: where it cannot take pictures of that size.
    """
    cfg, training = backbone.pretrained_cfg, backbone.training
    if not cfg.get("fixed_input_size"):
        return
    try:
        backbone.eval()(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError, ValueError) as error:  # timm's own words, or torch's
        raise DermaSenseError(
            f"model.image_size={image_size}: backbone '{name}' cannot take it "
            f"({first_line(error).rstrip('.')}); set model.image_size={cfg['input_size'][-1]}."
        ) from None
    finally:
        backbone.train(training)


def _plain(name: str, **options: Any) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, **options)
    except RuntimeError as error:
        architecture, _, tag = name.partition(".")
        if not timm.is_model(architecture):
            hint = nearest(architecture, timm.list_models())
            hint = hint if hint.startswith("did") else "see timm.list_models()"
            raise DermaSenseError(f"backbone '{name}' is not a timm model; {hint}") from None
        if "tag" in str(error):
            tags = [n.partition(".")[2] for n in timm.list_pretrained(f"{architecture}.*")]
            raise DermaSenseError(
                f"backbone '{name}' has no pretrained tag '{tag}'; {nearest(tag, tags)}"
            ) from None
        raise
    except TypeError:
        if "drop_path_rate" not in options:
            raise
        raise DermaSenseError(
            f"backbone '{name}' has no stochastic depth; set model.drop_path=0"
        ) from None
