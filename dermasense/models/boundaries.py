"""Where a backbone can be cut: what lies before a cut is constant while nothing there trains."""

from timm.models import efficientnet
from torch import nn

from dermasense.models.multiscale import MultiScale

IMAGE, POOLED = "image", "pooled"


def cut_points(backbone: nn.Module) -> dict[str, tuple[str, ...]]:
    """Named cuts in order, each with the paths of the modules between it and the cut before.

    An EfficientNet has "image", "stem", every block ("blocks.0.0", ...), "conv_head" and "pooled";
    any other backbone, and one that looks in several scales, only "image" and "pooled", where the
    whole backbone ("") lies between.
    Paths, not modules: they stay right when a module is replaced (SyncBatchNorm, compile, EMA).
    """
    if not isinstance(backbone, efficientnet.EfficientNet) or isinstance(backbone, MultiScale):
        return {IMAGE: (), POOLED: ("",)}
    blocks = [f"blocks.{i}.{j}" for i, s in enumerate(backbone.blocks) for j in range(len(s))]
    return {
        IMAGE: (),
        "stem": ("conv_stem", "bn1"),
        **{block: (block,) for block in blocks},
        "conv_head": ("conv_head", "bn2"),
        POOLED: ("global_pool",),
    }
