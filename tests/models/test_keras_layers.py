"""Layers counted as keras.applications counts them, and what they are in timm."""

import pytest
import timm
import torch

from dermasense.errors import DermaSenseError
from dermasense.models.keras_layers import keras_layers, last_layers, trainable_modules


def bare(name, **options):
    with torch.device("meta"):
        return timm.create_model(name, num_classes=0, **options)


@pytest.fixture(scope="module")
def b1():
    return bare("tf_efficientnet_b1")


@pytest.mark.parametrize(
    ("variant", "total"),
    # len(keras.applications.EfficientNetB*(include_top=False, weights=None).layers)
    [("b0", 237), ("b1", 339), ("b2", 339), ("b3", 384), ("b4", 474), ("b7", 813)],
)
def test_totals_are_those_of_keras(variant, total):
    assert len(keras_layers(bare(f"tf_efficientnet_{variant}"))) == total


@pytest.mark.parametrize("name", ["tf_efficientnet_b1", "tf_efficientnet_lite2"])
def test_every_weight_of_the_backbone_lies_in_exactly_one_layer(name):
    backbone = bare(name)
    paths = [path for _, path in keras_layers(backbone) if path]
    owners = {key.rpartition(".")[0] for key in backbone.state_dict()}
    assert len(paths) == len(set(paths))
    assert set(paths) == owners


def test_the_last_layers_of_b1_carry_the_names_keras_gives_them(b1):
    names = [name for name, _ in keras_layers(b1)][-15:]
    assert names == [
        "block7b_dwconv", "block7b_bn", "block7b_activation", "block7b_se_squeeze",
        "block7b_se_reshape", "block7b_se_reduce", "block7b_se_expand", "block7b_se_excite",
        "block7b_project_conv", "block7b_project_bn", "block7b_drop", "block7b_add",
        "top_conv", "top_bn", "top_activation",
    ]  # fmt: skip


def se(block):
    return {f"{block}.se.conv_reduce", f"{block}.se.conv_expand"}


def of(block, *modules):
    return {f"{block}.{module}" for module in modules}


def test_15_25_and_35_layers_of_b1_are_these_modules(b1):
    fifteen = {"conv_head", "bn2"} | se("blocks.6.1")
    fifteen |= of("blocks.6.1", "conv_dw", "bn2", "conv_pwl", "bn3")
    twenty_five = fifteen | of("blocks.6.1", "conv_pw", "bn1")
    twenty_five |= of("blocks.6.0", "conv_pwl", "bn3") | se("blocks.6.0")
    thirty_five = twenty_five | of("blocks.6.0", "conv_pw", "bn1", "conv_dw", "bn2")
    thirty_five |= of("blocks.5.4", "conv_pwl", "bn3")
    assert last_layers(b1, 15) == fifteen
    assert last_layers(b1, 25) == twenty_five
    assert last_layers(b1, 35) == thirty_five


def test_the_single_last_block_of_b0_and_the_long_stage_of_b4():
    b0, b4 = bare("tf_efficientnet_b0"), bare("tf_efficientnet_b4")
    assert last_layers(b0, 25) - last_layers(b0, 15) == {
        "blocks.6.0.conv_pw", *se("blocks.5.3"), *of("blocks.5.3", "conv_pwl", "bn3"),
    }  # fmt: skip
    assert last_layers(b4, 35) - last_layers(b4, 25) == {
        *of("blocks.6.0", "conv_pw", "bn1", "conv_dw", "bn2"),
        *of("blocks.5.7", "conv_pwl", "bn3"),
    }


def test_one_layer_more_is_one_layer_more_also_inside_the_squeeze_excitation(b1):
    # From the end: top 3, add, drop, project 2, excite, then expand and reduce one by one.
    assert last_layers(b1, 8) == {"conv_head", "bn2", "blocks.6.1.bn3", "blocks.6.1.conv_pwl"}
    assert last_layers(b1, 9) - last_layers(b1, 8) == {"blocks.6.1.se.conv_expand"}
    assert last_layers(b1, 10) - last_layers(b1, 9) == {"blocks.6.1.se.conv_reduce"}


def test_more_layers_than_there_are_means_all_with_a_warning(b1, caplog):
    assert len(last_layers(b1, 1000)) == len({p for _, p in keras_layers(b1) if p})
    assert "339" in caplog.text


def test_blocks_count_whole_blocks_and_what_follows_them(b1):
    assert trainable_modules(b1, "blocks:3") == {
        "conv_head", "bn2", "blocks.6.1", "blocks.6.0", "blocks.5.4",
    }  # fmt: skip


def test_other_backbones_count_modules_and_layer_groups():
    resnet = bare("resnet18")
    assert "layer4.1.bn2" in last_layers(resnet, 4)
    assert not any(path.startswith("layer1") for path in last_layers(resnet, 15))
    blocks = trainable_modules(resnet, "blocks:1")
    assert blocks == {f"layer4.1.{m}" for m in ("conv1", "bn1", "conv2", "bn2")}


def test_what_follows_the_last_block_is_no_block():
    blocks = trainable_modules(bare("convnext_atto"), "blocks:1")
    assert "head.norm" in blocks and "stages.3.blocks.1.mlp.fc2" in blocks
    assert all(path.startswith(("head.norm", "stages.3.blocks.1")) for path in blocks)
    vit = trainable_modules(bare("vit_tiny_patch16_224"), "blocks:1")
    assert all(path == "norm" or path.startswith("blocks.11") for path in vit)


@pytest.mark.parametrize(
    "name", ["tf_efficientnetv2_b0", "convnext_atto", "vit_tiny_patch16_224", "resnet18"]
)
def test_every_weight_of_another_backbone_lies_in_a_layer_that_is_reached(name):
    backbone = bare(name)
    owners = {key.rpartition(".")[0] for key in backbone.state_dict()}
    assert owners <= last_layers(backbone, 10**6)
    few = last_layers(backbone, 8)
    assert "" not in few and 0 < len(few) <= 8
    outside = [path for path in owners if not any(path.startswith(one) for one in few)]
    assert len(outside) > len(owners) // 2


def test_a_batch_norm_that_holds_its_activation_is_a_layer():
    backbone = bare("tf_efficientnetv2_b0")
    assert "bn2" in last_layers(backbone, 4) and "conv_head" in last_layers(backbone, 8)


@pytest.mark.parametrize(("unfreeze", "expected"), [(0, set()), ("0", set()), ("all", {""})])
def test_nothing_and_all(b1, unfreeze, expected):
    assert trainable_modules(b1, unfreeze) == expected


@pytest.mark.parametrize("unfreeze", ["al", "blocks:", "blocks:x", -1, 1.5, None])
def test_anything_else_is_refused_in_one_sentence(b1, unfreeze):
    with pytest.raises(DermaSenseError, match=r"unfreeze=.*blocks:N"):
        trainable_modules(b1, unfreeze)
