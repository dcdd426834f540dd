"""Depthwise convolutions with gradients of our own: equal values by operations that are quick."""

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dermasense.models.depthwise import DepthwiseConv2d, DepthwiseConv2dSame, quicken

BACKWARD = torch.ops.aten.convolution_backward.default


class Convolutions(TorchDispatchMode):
    """Notes (type, columns of the kernel, stride, what is asked for) of each backward one."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is BACKWARD:
            grad, _, weight, _, stride, *_, wanted = args
            self.seen.append((grad.dtype, weight.shape[3], tuple(stride), tuple(wanted[:2])))
        return func(*args, **(kwargs or {}))


def both(kernel, stride, padding, kind=nn.Conv2d, bias=False):
    """A convolution as torch has it, and ours with the same weights."""
    torch.manual_seed(0)
    plain = kind(6, 6, kernel, stride=stride, padding=padding, groups=6, bias=bias)
    ours = kind(6, 6, kernel, stride=stride, padding=padding, groups=6, bias=bias)
    ours.load_state_dict(plain.state_dict())
    quicken(ours)
    assert type(ours) in (DepthwiseConv2d, DepthwiseConv2dSame)
    return plain, ours


def gradients(conv, x):
    x = x.clone().requires_grad_()
    y = conv(x)
    (y * torch.arange(y.numel(), dtype=y.dtype).view_as(y).cos()).sum().backward()
    return y.detach(), x.grad, conv.weight.grad


def assert_equal_gradients(ours, plain, x):
    for got, expected in zip(
        gradients(ours.double(), x), gradients(plain.double(), x), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(9, 9), (8, 11), (5, 3)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(5, 1, 2), (7, 1, 3), (4, 1, 1), (5, 2, 2), (3, 2, 1), ((3, 5), (2, 1), (0, 2)), (9, 1, 4)],
)
def test_output_and_gradients_are_those_of_the_plain_convolution(kernel, stride, padding, size):
    plain, ours = both(kernel, stride, padding)
    x = torch.randn(3, 6, *size, dtype=torch.float64)
    assert_equal_gradients(ours, plain, x)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [8, 9])
def test_padding_as_tensorflow_has_it_is_kept(stride, size):
    plain, ours = both(5, stride, 0, Conv2dSame)
    x = torch.randn(2, 6, size, size, dtype=torch.float64)
    assert_equal_gradients(ours, plain, x)


def test_a_bias_is_learnt_too():
    plain, ours = both(7, 1, 3, bias=True)
    x = torch.randn(3, 6, 9, 9)
    for conv in (plain, ours):
        gradients(conv, x)
    assert plain.bias.grad.abs().min() > 0
    torch.testing.assert_close(ours.bias.grad, plain.bias.grad)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == plain(x).dtype == torch.bfloat16


def test_a_wide_kernel_has_the_gradient_of_three_columns_at_a_time():
    plain, ours = both(5, 1, 2)
    x = torch.randn(2, 6, 8, 8)
    with Convolutions() as theirs:
        gradients(plain, x)
    with Convolutions() as found:
        gradients(ours, x)
    widths = [width for _, width, _, (_, by_weight) in found.seen if by_weight]
    assert [width for _, width, _, (_, by_weight) in theirs.seen if by_weight] == [5]
    assert widths == [3, 2]


def test_under_bfloat16_a_strided_inputs_gradient_is_computed_in_float32():
    plain, ours = both(5, 2, 2)
    x = torch.randn(2, 6, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        with Convolutions() as found:
            got = gradients(ours, x)
        expected = gradients(plain, x)
    assert got[0].dtype == torch.bfloat16  # as the plain one under autocast
    assert got[2].dtype == torch.float32
    by_input = [dtype for dtype, _, _, (by_input, _) in found.seen if by_input]
    assert by_input == [torch.float32]
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.float(), other.float(), rtol=0.02, atol=0.02)


def test_a_picture_that_asks_for_no_gradient_gets_none():
    _, ours = both(5, 1, 2)
    with Convolutions() as found:
        ours(torch.randn(2, 6, 8, 8)).sum().backward()
    assert not any(by_input for _, _, _, (by_input, _) in found.seen)


def test_outside_of_training_all_is_torchs_own():
    """There are no further derivatives in ours, and both gradients are computed."""
    _, ours = both(5, 1, 2)
    x = torch.randn(2, 6, 8, 8)
    ours.eval()
    assert torch.func.grad(lambda x: ours(x).sum())(x).shape == x.shape
    x.requires_grad_()
    (first,) = torch.autograd.grad(ours(x).square().sum(), x, create_graph=True)
    torch.autograd.grad(first.sum(), x)
    with Convolutions() as found:
        torch.autograd.grad(ours(x).sum(), x)
    assert [wanted for *_, wanted in found.seen] == [(True, False)]
    ours.train()
    with torch.no_grad():
        assert not ours(x).requires_grad
    assert ours(x[0]).ndim == 3


def test_autocast_leaves_float64_as_it_is():
    plain, ours = both(5, 1, 2)
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours.double()(x).dtype == plain.double()(x).dtype == torch.float64


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False),  # quick as it is
        nn.Conv2d(6, 6, 5, padding=2, bias=False),  # dense
        nn.Conv2d(6, 6, 5, padding=2, groups=3, bias=False),
        nn.Conv2d(6, 12, 5, padding=2, groups=6, bias=False),
        nn.Conv2d(6, 6, 5, padding="same", groups=6, bias=False),
        nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False, padding_mode="reflect"),
        nn.Conv2d(6, 6, 5, padding=4, groups=6, bias=False, dilation=2),
        nn.Conv2d(1, 1, 5, padding=2, bias=False),
    ],
)
def test_other_convolutions_are_left_alone(conv):
    quicken(conv)
    assert type(conv) is nn.Conv2d


def test_a_backbone_keeps_its_parameters_and_a_frozen_layer_its_own_path():
    backbone = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    names = list(backbone.state_dict())
    x = torch.randn(2, 3, 64, 64)
    backbone.eval()
    with torch.no_grad():
        expected = backbone(x)
    quicken(backbone)
    kinds = [type(part) for part in backbone.modules()]
    assert kinds.count(DepthwiseConv2d) == 7
    assert kinds.count(DepthwiseConv2dSame) == 4
    assert list(backbone.state_dict()) == names
    with torch.no_grad():
        assert torch.equal(backbone(x), expected)
    backbone.requires_grad_(False)
    x.requires_grad_()
    with Convolutions() as found:
        backbone(x).sum().backward()
    assert (torch.float32, 5, (1, 1), (True, False)) in found.seen
