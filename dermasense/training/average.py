"""An exponential moving average of the weights that costs as much as what trains."""

from copy import deepcopy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class WeightAverage(nn.Module):
    """The average of what moves, parameters and statistics, which begins as `model` stands.

    What is frozen equals its average from the start, so leaving it out changes no bit. In a phase
    that trains a head on cached activations the whole walk costs more than the training step.

    Args:
        model: in training mode, frozen as it stays.
        decay: share of the old average that each step keeps, in (0, 1); less in the first steps,
            see `warmed_up`.

    Attributes:
        module: a copy of the model in eval mode, which holds the average.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = deepcopy(model).eval()
        self.decay = decay
        self._pairs: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """One step of the average towards `model`, the one it was made of; the first step is 1."""
        if self._pairs is None:  # not before: Lightning moves both to their device first
            names = moving(model)
            mine, theirs = self.module.state_dict(), model.state_dict()
            self._pairs = [mine[n] for n in names], [theirs[n] for n in names]
        floats = [p for p in zip(*self._pairs, strict=True) if p[0].is_floating_point()]
        kept, new = map(list, zip(*floats, strict=True))
        torch._foreach_lerp_(kept, new, weight=1 - warmed_up(self.decay, step))
        for one, other in zip(*self._pairs, strict=True):
            if not one.is_floating_point():
                one.copy_(other)


def warmed_up(decay: float, step: int) -> float:
    """The decay of a step, from 1: min(decay, (1 + step) / (10 + step)).

    So the weights that a phase began with are soon forgotten, and the decay is reached after
    9 / (1 - decay) steps or a few less: .9 after 80, .995 after 1,790. It is the warm-up of
    TensorFlow's tf.train.ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (10 + step))


def moving(model: nn.Module) -> list[str]:
    """Names in the state of `model` that a training step can change."""
    names = [name for name, each in model.named_parameters() if each.requires_grad]
    for path, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats:
            names += [f"{path}.{name}" if path else name for name, _ in module.named_buffers()]
    return names
