"""Heads: what they compute, how they start, what they refuse."""

import pytest
import torch
from torch import nn

from dermasense.errors import DermaSenseError
from dermasense.models.heads import HEADS, build_head, head_options


def test_the_registry_is_the_folder():
    assert set(HEADS) == {"linear", "se_mlp"}


def test_se_on_the_pooled_vector_equals_spatial_se_then_pooling():
    torch.manual_seed(0)
    se = build_head("se_mlp", 32, 7).se.double()
    maps = torch.randn(3, 32, 5, 4, dtype=torch.float64)
    squeezed = maps.mean((2, 3))
    hidden = torch.relu(squeezed @ se.reduce.weight.T + se.reduce.bias)
    scale = torch.sigmoid(hidden @ se.expand.weight.T + se.expand.bias)
    long_way = (maps * scale[:, :, None, None]).mean((2, 3))
    assert torch.allclose(se(maps.mean((2, 3))), long_way, rtol=0, atol=1e-15)


def test_se_mlp_has_the_layers_of_the_original():
    head = build_head("se_mlp", 1280, 7)
    assert head.se.reduce.out_features == 320  # 1280 / 4
    names = [m.__class__.__name__ for m in head.mlp]
    assert names == [
        "BatchNorm", "Dropout", "Linear", "SiLU", "BatchNorm", "Dropout", "Linear", "SiLU",
        "Dropout",
    ]  # fmt: skip
    assert [m.p for m in head.mlp if isinstance(m, nn.Dropout)] == [0.3, 0.25, 0.15]
    assert [m.out_features for m in head.mlp if isinstance(m, nn.Linear)] == [384, 192]
    assert head.classifier.weight.shape == (7, 192)
    assert all(m.eps == 1e-3 for m in head.mlp if isinstance(m, nn.BatchNorm1d))


@pytest.mark.parametrize("name", ["linear", "se_mlp"])
def test_dense_layers_start_glorot_uniform_with_zero_bias(name):
    torch.manual_seed(0)
    for layer in build_head(name, 640, 21).modules():
        if isinstance(layer, nn.Linear):
            limit = (6 / (layer.in_features + layer.out_features)) ** 0.5
            largest = layer.weight.abs().max().item()
            assert 0.97 * limit < largest <= limit
            assert layer.bias.eq(0).all()


def test_linear_is_dropout_and_one_dense_layer():
    head = build_head("linear", 16, 3, dropout=0.5).eval()
    x = torch.randn(4, 16)
    expected = x @ head.classifier.weight.T + head.classifier.bias
    assert torch.allclose(head(x), expected, atol=1e-6)
    head.train()
    torch.manual_seed(1)
    first = head(x)
    torch.manual_seed(1)
    assert torch.equal(first, head(x))  # the global generator alone decides the draws
    assert not torch.equal(first, head(x))


def test_a_training_batch_of_one_row_works_and_leaves_the_statistics():
    head = build_head("se_mlp", 16, 3).train()
    before = {k: v.clone() for k, v in head.state_dict().items()}
    head(torch.randn(1, 16)).sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in head.state_dict().items())


def test_unknown_heads_and_options_name_the_nearest():
    with pytest.raises(DermaSenseError, match="did you mean 'linear'"):
        build_head("liner", 16, 3)
    with pytest.raises(DermaSenseError, match="'dropuot'; did you mean 'dropout'"):
        build_head("linear", 16, 3, dropuot=0.1)


def test_options_are_filled_with_defaults():
    assert head_options("linear") == {"dropout": 0.2}
    assert head_options("se_mlp", reduction=8)["hidden"] == (384, 192)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hidden": [128]}, r"head.hidden=\[128\]: expected a list of 2 numbers"),
        ({"hidden": 128}, "head.hidden=128: expected a list of 2 numbers"),
        ({"dropout": [0.1, 0.2]}, r"head.dropout=\[0.1, 0.2\]: expected a list of 3 numbers"),
    ],
)
def test_the_perceptron_has_two_layers_and_three_dropouts(options, says):
    with pytest.raises(DermaSenseError, match=says):
        build_head("se_mlp", 16, 3, **options)
