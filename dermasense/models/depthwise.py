"""Gradients of depthwise convolutions on a CPU, where the ready-made ones are slow.

oneDNN, by which torch convolves on a CPU, has quick code for the weight gradient of a depthwise
kernel up to three columns wide; one of five takes many times as long, in bfloat16 above all, and so
does the gradient of a strided convolution's input in bfloat16. All EfficientNets have both, and
train no faster in bfloat16 than in float32 by them. Here a wide kernel's gradient is that of its
columns, three at a time, and that of a strided input is computed in float32. Values are the same up
to rounding; `benchmarks/steps.py` times a training step with and without.
"""

import torch
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

QUICK_COLUMNS = 3
Pair = tuple[int, int]


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise `nn.Conv2d`; in training on a CPU its gradients are computed in another way.

    They have no further derivatives; in evaluation mode, and on other devices, all is torch's own.
    """

    def _conv_forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        if not _trains_here(self, x):
            return super()._conv_forward(x, weight, bias)
        return _depthwise(x, weight, bias, self.stride, self.padding)


class DepthwiseConv2dSame(Conv2dSame):
    """The same for timm's convolution that pads as TensorFlow does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not _trains_here(self, x):
            return super().forward(x)
        x = pad_same(x, self.kernel_size, self.stride, self.dilation)
        return _depthwise(x, self.weight, self.bias, self.stride, (0, 0))


def quicken(module: nn.Module) -> None:
    """Makes the depthwise convolutions of `module` whose gradients are slow such ones, in place.

    Parameters, their names and what is computed forwards stay.
    """
    for part in module.modules():
        if type(part) is nn.Conv2d and _slow(part):
            part.__class__ = DepthwiseConv2d
        elif type(part) is Conv2dSame and _slow(part):
            part.__class__ = DepthwiseConv2dSame


def _slow(conv: nn.Conv2d) -> bool:
    return (
        1 < conv.groups == conv.in_channels == conv.out_channels
        and (conv.kernel_size[1] > QUICK_COLUMNS or max(conv.stride) > 1)
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


def _trains_here(conv: nn.Conv2d, x: torch.Tensor) -> bool:
    return (
        conv.training
        and conv.weight.requires_grad
        and torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.ndim == 4
        and not torch.compiler.is_compiling()
    )


def _depthwise(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Pair, padding: Pair
) -> torch.Tensor:
    if torch.is_autocast_enabled("cpu") and x.dtype != torch.float64:  # which autocast leaves
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    return _Depthwise.apply(x, weight, bias, stride, padding)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        geometry = ctx.stride, ctx.padding
        by_input = _by_input(x, weight, grad, *geometry) if ctx.needs_input_grad[0] else None
        by_bias = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return by_input, _by_weight(x, weight, grad, *geometry), by_bias, None, None


def _by_input(
    x: torch.Tensor, weight: torch.Tensor, grad: torch.Tensor, stride: Pair, padding: Pair
) -> torch.Tensor:
    if max(stride) > 1 and x.dtype in (torch.bfloat16, torch.float16):
        weight, grad = weight.float(), grad.float()
    found = conv2d_input(x.shape, weight, grad, stride, padding, 1, len(weight))
    return found.to(x.dtype)


def _by_weight(
    x: torch.Tensor, weight: torch.Tensor, grad: torch.Tensor, stride: Pair, padding: Pair
) -> torch.Tensor:
    if weight.shape[3] <= QUICK_COLUMNS:
        return conv2d_weight(x, weight.shape, grad, stride, padding, 1, len(weight))
    padded = F.pad(x, (padding[1], padding[1]))
    reach = (grad.shape[3] - 1) * stride[1]
    columns = []
    for first in range(0, weight.shape[3], QUICK_COLUMNS):
        size = (*weight.shape[:3], min(QUICK_COLUMNS, weight.shape[3] - first))
        part = padded[..., first : first + reach + size[3]]
        part = part.contiguous(memory_format=torch.channels_last)
        columns.append(conv2d_weight(part, size, grad, stride, (padding[0], 0), 1, len(weight)))
    return torch.cat(columns, 3)
