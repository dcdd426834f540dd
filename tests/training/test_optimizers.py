"""Which rate and which weight decay each parameter trains with."""

import math

import pytest
from torch import nn

from dermasense.errors import DermaSenseError
from dermasense.models.classifier import build_classifier
from dermasense.training.optimizers import build_optimizer


def optimizer_of(name="adamw", **options):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    return build_optimizer(model, name=name, lr=1.0, **options)


def test_layer_wise_decay_orders_stem_blocks_and_head():
    model, _, _ = build_classifier(
        backbone="tf_efficientnet_lite0", num_classes=7, head={"name": "se_mlp"}, image_size=64
    )

    def trained(**options):
        made = build_optimizer(model, name="adamw", lr=0.1, layer_decay=0.5, **options)
        names = {id(p): n for n, p in model.named_parameters()}
        return {names[id(p)]: group for group in made.param_groups for p in group["params"]}

    model.freeze("blocks:3")
    found = trained(weight_decay=0.05, decay_norms_and_biases=False)
    assert set(found) == {n for n, p in model.named_parameters() if p.requires_grad}
    halved = {
        "head.classifier.weight": 0,
        "backbone.conv_head.weight": 1,
        "backbone.blocks.6.0.conv_dw.weight": 1,  # timm joins conv_head to it
        "backbone.blocks.5.3.conv_dw.weight": 2,
        "backbone.blocks.5.2.conv_dw.weight": 3,
    }
    for name, times in halved.items():
        assert found[name]["lr"] == pytest.approx(0.1 * 0.5**times), name
        assert found[name]["weight_decay"] == 0.05
    for name in ("backbone.blocks.5.2.bn1.weight", "head.classifier.bias"):
        assert found[name]["weight_decay"] == 0
    model.freeze("all")
    stem = trained()["backbone.conv_stem.weight"]["lr"]
    assert stem == pytest.approx(0.1 * 0.5**17)  # stem, 16 blocks, head


@pytest.mark.parametrize("decay", [-0.1, math.inf, "abc"])
def test_a_weight_decay_that_is_no_good_is_named(decay):
    with pytest.raises(DermaSenseError, match=f"optimizer.weight_decay={decay}: expected a number"):
        optimizer_of(weight_decay=decay)


def test_norms_and_biases_are_spared_weight_decay_where_asked():
    spared = optimizer_of(weight_decay=0.1, decay_norms_and_biases=False).param_groups
    assert sorted((g["weight_decay"], len(g["params"])) for g in spared) == [(0.0, 3), (0.1, 1)]
    (together,) = optimizer_of(weight_decay=0.1, decay_norms_and_biases=True).param_groups
    assert together["weight_decay"] == 0.1 and len(together["params"]) == 4


def test_an_unknown_optimizer_is_named():
    with pytest.raises(DermaSenseError, match=r"name=adamm is unknown; did you mean 'adam'"):
        optimizer_of("adamm")
