"""One backbone that looks at a picture in several resolutions: its weights are shared.

A name such as "tf_efficientnet_lite0@concat:1+2" is the backbone, how its looks are merged, and by
what the sides of the picture are divided. So it is stored in a bundle and typed like any name.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from dermasense.errors import DermaSenseError, nearest

MERGES = ("concat", "mean")
EXAMPLE = "tf_efficientnet_lite0@concat:1+2"


class MultiScale:
    """Mixed into a timm model by :func:`at_scales`; its modules keep their names.

    Attributes:
        scales: divisors of the sides, the first 1.
        merge: "concat", the feature maps side by side (N, K D, h, w), or "mean", their mean, which
            under a linear head is the mean of the logits of the looks.

    A smaller look is the mean over squares of pixels; its map is enlarged bilinearly to that of the
    largest, so that a Grad-CAM shows where, and is pooled with it.
    """

    scales: tuple[int, ...]
    merge: str

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Merged feature maps of normalised pictures (N, 3, S, S)."""
        inner = super().forward_features  # type: ignore[misc]
        first = inner(x)
        looks = [first]
        for scale in self.scales[1:]:
            found = inner(F.avg_pool2d(x, scale))
            size = first.shape[-2:]
            looks.append(F.interpolate(found, size, mode="bilinear", align_corners=False))
        if self.merge == "concat":
            return torch.cat(looks, dim=1)
        return torch.stack(looks).mean(0)


def split_name(name: str) -> tuple[str, str, tuple[int, ...]]:
    """The backbone, the merge and the divisors of a name; of a plain one "" and ().

    Raises:
        DermaSenseError: where what stands behind the "@" is not understood.
    """
    base, at, rest = str(name).partition("@")  # YAML makes a number of a name such as 18
    if not at:
        return base, "", ()
    merge, _, numbers = rest.partition(":")
    if merge not in MERGES:
        raise DermaSenseError(
            f"backbone '{name}': {merge} is no way to merge scales; {nearest(merge, MERGES)}"
        )
    words = numbers.split("+")
    scales = tuple(int(word) for word in words if word.isdecimal() and int(word) > 0)
    if len(scales) != len(words) or len(scales) < 2 or scales[0] != 1 or len(set(scales)) < 2:
        raise DermaSenseError(
            f"backbone '{name}': scales are whole numbers that divide the sides, the first 1, "
            f"such as {EXAMPLE}"
        )
    return base, merge, scales


def at_scales(backbone: nn.Module, merge: str, scales: Sequence[int]) -> nn.Module:
    """The same module, weights and names of weights, looking in several resolutions.

    Args:
        backbone: a convolutional timm model made with num_classes=0; changed in place.
        merge, scales: see :class:`MultiScale`.
    """
    kind = type(backbone)
    made: Any = backbone
    made.__class__ = type(f"MultiScale{kind.__name__}", (MultiScale, kind), {})
    made.scales, made.merge = tuple(scales), merge
    if merge == "concat":
        for width in ("num_features", "head_hidden_size"):
            if getattr(made, width, None):
                setattr(made, width, getattr(made, width) * len(made.scales))
    return made
