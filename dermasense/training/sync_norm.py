"""BatchNorm over the batch of all processes.

torch's own SyncBatchNorm refuses tensors on a CPU, and its conversion turns timm's BatchNormAct2d
into a norm without its activation. Here a norm keeps its class' behaviour and its state.
"""

import contextlib
from collections.abc import Iterator

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm

from dermasense.errors import DermaSenseError
from dermasense.models.heads import se_mlp


class _Sum(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


def normalise_together(norm: _BatchNorm, x: Tensor) -> Tensor:
    """What `norm` makes of the batch whose part `x` is, (n, C, ...), in training mode.

    Mean and biased variance are those of all processes' values, weighed by their number (Ioffe and
    Szegedy 2015, algorithm 1); the running ones move as torch's do, the variance unbiased.
    """
    over = [dim for dim in range(x.ndim) if dim != 1]
    like = [1, -1] + [1] * (x.ndim - 2)
    values = x.float()
    number = values.new_tensor([values.numel() / values.shape[1]])
    total = _Sum.apply(torch.cat([values.sum(over), number]))
    count = total[-1].detach()
    mean = total[:-1] / count
    centred = values - mean.view(like)
    variance = _Sum.apply(centred.square().sum(over)) / count
    if norm.track_running_stats:
        norm.num_batches_tracked.add_(1)
        share = norm.momentum
        if share is None:
            share = 1.0 / norm.num_batches_tracked.item()
        unbiased = variance.detach() * count / (count - 1).clamp(min=1)
        norm.running_mean.lerp_(mean.detach().to(norm.running_mean.dtype), share)
        norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), share)
    out = centred * torch.rsqrt(variance + norm.eps).view(like)
    if norm.affine:
        out = out * norm.weight.view(like) + norm.bias.view(like)
    return out.to(x.dtype)


class _Together1d(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:
        return normalise_together(self, input) if self.training else super().forward(input)


class _Together2d(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return normalise_together(self, input) if self.training else super().forward(input)


class _TogetherAct2d(BatchNormAct2d):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        return self.act(self.drop(normalise_together(self, x)))


KINDS = {
    nn.BatchNorm1d: _Together1d,
    se_mlp.BatchNorm: _Together1d,
    nn.BatchNorm2d: _Together2d,
    BatchNormAct2d: _TogetherAct2d,
}


@contextlib.contextmanager
def norms_together(model: nn.Module, on: bool) -> Iterator[None]:
    """While the block runs, the BatchNorms of `model` that train take statistics of all processes.

    Args:
        model: frozen as it trains.
        on: False leaves it as it is.

    Raises:
        DermaSenseError: a BatchNorm of another kind trains.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training] if on else []
    for norm in norms:
        if type(norm) not in KINDS:
            raise DermaSenseError(
                f"trainer.sync_batchnorm=true does not know {type(norm).__name__}; use "
                "trainer.sync_batchnorm=false, or freeze it."
            )
    kinds = [type(norm) for norm in norms]
    for norm in norms:
        norm.__class__ = KINDS[type(norm)]
    try:
        yield
    finally:
        for norm, kind in zip(norms, kinds, strict=True):
            norm.__class__ = kind
