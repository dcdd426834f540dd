"""The classifier: one normalisation, exact cuts, and frozen means frozen."""

import copy

import pytest
import timm
import torch
from torch import nn

from dermasense.errors import DermaSenseError
from dermasense.models.classifier import Classifier, build_classifier


def build(backbone="tf_efficientnet_lite0", head="se_mlp", **options):
    torch.manual_seed(0)
    options = {"num_classes": 7, "image_size": 64, "weights": "none"} | options
    return build_classifier(backbone=backbone, head={"name": head}, **options)[0]


def pictures(n=2, size=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def lite0():
    return build(weights="package").eval()


def test_lite_takes_mean_and_std_of_one_half_and_bicubic():
    _, spec, provenance = build_classifier(
        backbone="tf_efficientnet_lite0", num_classes=7, head={"name": "linear"}, image_size=96,
        resize="crop",
    )  # fmt: skip
    assert spec.mean == spec.std == (0.5, 0.5, 0.5)
    assert (spec.image_size, spec.resize, spec.interpolation) == (96, "crop", "bicubic")
    assert provenance["weights"] == "none"


def test_b1_takes_the_statistics_of_imagenet():
    _, spec, _ = build_classifier(
        backbone="tf_efficientnet_b1", num_classes=7, head={"name": "linear"}, image_size=64,
        interpolation="lanczos",
    )  # fmt: skip
    assert spec.mean == (0.485, 0.456, 0.406)
    assert spec.std == (0.229, 0.224, 0.225)
    assert spec.interpolation == "lanczos"


def test_a_backbone_of_one_input_size_is_told_before_it_meets_a_picture():
    with pytest.raises(DermaSenseError, match=r"image_size=32: .*; set model.image_size=224\."):
        build("vit_tiny_patch16_224", image_size=32)
    taken = build("vit_tiny_patch16_224", image_size=224)
    assert all(module.training for module in taken.modules())
    build("xcit_nano_12_p8_224", image_size=32)  # timm calls it fixed, and it is not


@torch.no_grad()
def test_pixels_are_normalised_once_from_bytes_or_floats(lite0):
    x = pictures()
    by_hand = lite0.head(lite0.backbone((x.float() / 255 - 0.5) / 0.5))
    assert torch.allclose(lite0(x), by_hand, rtol=1e-5, atol=1e-5)
    assert torch.equal(lite0(x), lite0(x.float()))
    assert torch.equal(lite0(x), lite0(x.contiguous(memory_format=torch.channels_last)))
    with torch.autocast("cpu", torch.bfloat16):
        assert lite0.normalise(x).dtype == torch.float32


@torch.no_grad()
def test_features_and_pool_lead_to_the_head(lite0):
    x = pictures()
    features = lite0.features(x)
    assert features.shape == (2, 1280, 2, 2)
    pooled = lite0.pool(features)
    assert torch.allclose(pooled, features.mean((2, 3)), atol=1e-6)
    assert torch.equal(lite0.head(pooled), lite0(x))


@torch.no_grad()
def test_the_suffix_of_the_prefix_is_the_forward_pass_at_every_boundary(lite0):
    x = pictures()
    logits = lite0(x)
    assert lite0.boundaries[:3] == ("image", "stem", "blocks.0.0")
    assert lite0.boundaries[-3:] == ("blocks.6.0", "conv_head", "pooled")
    assert len(lite0.boundaries) == 20  # 16 blocks
    for boundary in lite0.boundaries:
        activation = lite0.prefix(x, boundary)
        kept = activation.clone()
        assert torch.equal(lite0.suffix(activation, boundary), logits), boundary
        assert torch.equal(activation, kept), boundary
    assert torch.equal(lite0.prefix(x, "image"), x)
    assert lite0.prefix(x, "pooled").shape == (2, 1280)


def test_an_unknown_boundary_names_the_nearest(lite0):
    with pytest.raises(DermaSenseError, match=r"'blocks\.6\.1'.*'blocks\.6\.0'"):
        lite0.prefix(pictures(), "blocks.6.1")


@torch.no_grad()
def test_another_backbone_has_two_boundaries():
    model = build("resnet18").eval()
    x = pictures()
    assert model.boundaries == ("image", "pooled")
    assert torch.equal(model.suffix(model.prefix(x, "pooled"), "pooled"), model(x))
    assert model.features(x).shape == (2, 512, 2, 2)
    model.freeze(0)
    assert model.constant_boundary == "pooled"
    model.freeze(4)  # flatten, pool, relu, bn2
    assert model.constant_boundary == "image"


def trainable(model):
    return {n.rpartition(".")[0] for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("unfreeze", "boundary", "blocks"),
    [
        (0, "pooled", set()),
        (3, "blocks.6.1", set()),
        (15, "blocks.6.0", {"blocks.6.1"}),
        (25, "blocks.5.4", {"blocks.6.1", "blocks.6.0"}),
        (35, "blocks.5.3", {"blocks.6.1", "blocks.6.0", "blocks.5.4"}),
        ("blocks:1", "blocks.6.0", {"blocks.6.1"}),
        ("all", "image", None),
    ],
)
def test_what_trains_and_where_the_constant_part_ends_in_b1(b1, unfreeze, boundary, blocks):
    b1.freeze(unfreeze)
    assert b1.constant_boundary == boundary
    names = trainable(b1)
    assert {n for n in names if n.startswith("head")} == {
        n.rpartition(".")[0] for n, _ in b1.named_parameters() if n.startswith("head")
    }
    found = {".".join(n.split(".")[1:4]) for n in names if n.startswith("backbone.blocks")}
    if blocks is not None:
        assert found == blocks
    assert ("backbone.conv_stem" in names) == (unfreeze == "all")


@pytest.fixture(scope="module")
def b1():
    return build("tf_efficientnet_b1")


def statistics(module):
    return {k: v.clone() for k, v in module.state_dict().items() if "running" in k or "num_b" in k}


def step(model, seed=0):
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(pictures(4, seed=seed)).square().mean().backward()
    optimizer.step()


def test_a_frozen_backbone_does_not_move_also_with_a_validation_in_between():
    model = build(drop_path=0.2)
    model.freeze(0)
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    head = statistics(model.head)
    model.train()
    step(model)
    model.eval()
    model(pictures())
    model.train()
    step(model, 1)
    assert all(torch.equal(v, before[k]) for k, v in model.backbone.state_dict().items())
    assert not any(m.training for m in model.backbone.modules())
    assert any(not torch.equal(v, head[k]) for k, v in statistics(model.head).items())


def test_batch_norms_that_train_move_and_the_others_do_not():
    model = build()
    model.train()
    model.freeze(8)  # conv_head, bn2; blocks.6.0: conv_dw, bn2, conv_pwl, bn3
    free = {n for n in trainable(model) if n.startswith("backbone") and "bn" in n}
    assert free == {"backbone.bn2", "backbone.blocks.6.0.bn3", "backbone.blocks.6.0.bn2"}
    before = statistics(model.backbone)
    step(model)
    moved = {
        f"backbone.{k.rpartition('.')[0]}"
        for k, v in statistics(model.backbone).items()
        if not torch.equal(v, before[k])
    }
    assert moved == free


def test_the_constant_part_is_constant_in_training_and_the_rest_is_not():
    model = build(drop_path=0.5, weights="package")
    model.freeze(15)
    model.train()
    x = pictures(4)
    boundary = model.constant_boundary
    assert torch.equal(model.prefix(x, boundary), model.prefix(x, boundary))
    block = model.backbone.get_submodule("blocks.5.3")
    assert block.drop_path.training  # conv_pwl of this block trains, so its drop path draws
    assert not model.backbone.get_submodule("blocks.5.2").drop_path.training
    torch.manual_seed(0)
    first = model(x)
    torch.manual_seed(0)
    assert torch.equal(model(x), first)
    assert not torch.equal(model(x), first)


def test_thawing_again_trains_all():
    model = build()
    model.freeze(0)
    model.freeze("all")
    model.train()
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.modules())


def test_a_copy_is_cut_at_its_own_modules():
    model = build().eval()
    twin = copy.deepcopy(model)
    nn.init.zeros_(twin.backbone.conv_head.weight)
    x = pictures()
    assert not torch.equal(twin(x), model(x))


def test_no_weight_decay_names_the_parameters_of_the_backbone():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 4))

        def no_weight_decay(self):
            return {"token"}

    model = Classifier(Plain(), nn.Linear(4, 2), (0.5,) * 3, (0.5,) * 3)
    assert model.no_weight_decay() == {"backbone.token"}
    assert model.group_matcher() == {"backbone": r"^backbone\."}


def test_a_stub_of_timm_is_enough(monkeypatch):
    class Stub(nn.Module):
        num_features = 4

        def __init__(self):
            super().__init__()
            self.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
            self.conv = nn.Conv2d(3, 4, 3)

        def forward_features(self, x):
            return self.conv(x)

        def forward_head(self, x):
            return x.mean((2, 3))

    monkeypatch.setattr(timm, "create_model", lambda name, **kwargs: Stub())
    for weights in ("timm", "none"):
        model = build("tf_efficientnet_b1", weights=weights)
        for unfreeze in (0, 15, "blocks:2", "all"):
            model.freeze(unfreeze)
            model.train()
            assert model(pictures()).shape == (2, 7)


def test_unknown_backbones_and_tags_name_the_nearest():
    with pytest.raises(DermaSenseError, match=r"'tf_eficientnet_b1'.*'tf_efficientnet_b1'"):
        build("tf_eficientnet_b1")
    with pytest.raises(DermaSenseError, match=r"tag 'aa'.*aa_in1k"):
        build("tf_efficientnet_b1.aa")
    with pytest.raises(DermaSenseError, match="drop_path=0"):
        build("vgg11", drop_path=0.1)
