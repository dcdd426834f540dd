"""timm backbones by name, and the one sentence where there is none of that name."""

from typing import Any

import timm
from torch import nn

from dermasense.errors import DermaSenseError, nearest
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
