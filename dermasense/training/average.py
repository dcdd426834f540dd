"""An exponential moving average of the weights that costs as much as what trains."""

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class WeightAverage(ModelEmaV3):
    """timm's average, which walks the whole network each step, over what moves alone.

    What is frozen equals its average from the start, so leaving it out changes no bit. In a phase
    that trains a head on cached activations the whole walk costs more than the training step.

    Args:
        model: in training mode, frozen as it stays.
        decay: share of the old average that each step keeps, in (0, 1); less in the first steps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, decay=decay, use_warmup=True)
        self._pairs: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None

    @torch.no_grad()
    def update(self, model: nn.Module, step: int | None = None) -> None:
        """One step of the average towards `model`, the one it was made of."""
        if self._pairs is None:  # not before: Lightning moves both to their device first
            names = moving(model)
            mine, theirs = self.module.state_dict(), model.state_dict()
            self._pairs = [mine[n] for n in names], [theirs[n] for n in names]
        floats = [p for p in zip(*self._pairs, strict=True) if p[0].is_floating_point()]
        kept, new = map(list, zip(*floats, strict=True))
        torch._foreach_lerp_(kept, new, weight=1 - self.get_decay(step))
        for one, other in zip(*self._pairs, strict=True):
            if not one.is_floating_point():
                one.copy_(other)


def moving(model: nn.Module) -> list[str]:
    """Names in the state of `model` that a training step can change."""
    names = [name for name, each in model.named_parameters() if each.requires_grad]
    for path, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats:
            names += [f"{path}.{name}" if path else name for name, _ in module.named_buffers()]
    return names
