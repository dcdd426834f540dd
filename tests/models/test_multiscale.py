"""Several resolutions through one backbone: what is shared, merged, and survives a save."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dermasense.data.preprocess import InputSpec
from dermasense.errors import DermaSenseError
from dermasense.inference.engine import build_engine
from dermasense.models.backbones import create_backbone
from dermasense.models.boundaries import IMAGE, POOLED
from dermasense.models.bundle import load_bundle, save_bundle
from dermasense.models.classifier import assemble, build_classifier
from dermasense.models.multiscale import split_name

BASE = "tf_efficientnet_lite0"
HEAD = {"name": "linear", "dropout": 0.0}


@pytest.fixture(scope="module")
def nets():
    """The same weights plain, concatenated and averaged."""
    torch.manual_seed(0)
    made = {
        name: create_backbone(name) for name in (BASE, f"{BASE}@concat:1+2", f"{BASE}@mean:1+2")
    }
    state = made[BASE].state_dict()
    for net in made.values():
        net.load_state_dict(state, strict=True)  # names and shapes of weights are the base's
        net.eval()
    return made.values()


def pictures(side=64):
    return torch.randn((2, 3, side, side), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_maps_are_those_of_the_base_at_each_scale(nets):
    plain, joined, mean = nets
    x = pictures()
    one, two = plain.forward_features(x), plain.forward_features(F.avg_pool2d(x, 2))
    two = F.interpolate(two, one.shape[-2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(joined.forward_features(x), torch.cat([one, two], 1))
    torch.testing.assert_close(mean.forward_features(x), (one + two) / 2)
    vector = joined.forward_head(joined.forward_features(x))
    assert vector.shape[1] == joined.num_features == 2 * plain.num_features
    torch.testing.assert_close(vector[:, :1280], plain.forward_head(one))
    # 64 px give maps of 2x2 and 1x1, where enlarging keeps the mean exactly.
    torch.testing.assert_close(vector[:, 1280:], plain.forward_head(two))


@torch.no_grad()
def test_the_mean_of_features_is_the_mean_of_logits_under_a_linear_head(nets):
    plain, _, mean = nets
    spec = InputSpec(64, "squash", (0.5,) * 3, (0.5,) * 3)
    recipe = {"backbone": f"{BASE}@mean:1+2", "head": HEAD, "num_classes": 3}
    model = assemble(copy.deepcopy(mean), recipe, spec).eval()
    x = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    normal = model.normalise(x)
    logits = [
        model.head(plain.forward_head(plain.forward_features(look)))
        for look in (normal, F.avg_pool2d(normal, 2))
    ]
    torch.testing.assert_close(model(x), (logits[0] + logits[1]) / 2, atol=1e-4, rtol=1e-4)


def test_a_classifier_freezes_caches_saves_and_exports_like_any(tmp_path):
    model, spec, _ = build_classifier(
        backbone=f"{BASE}@concat:1+2", num_classes=3, head=HEAD, image_size=64
    )
    plain, _, _ = build_classifier(backbone=BASE, num_classes=3, head=HEAD, image_size=64)
    assert model.boundaries == (IMAGE, POOLED)
    for unfreeze in (0, 15, "blocks:2", "all"):
        for each in (model, plain):
            each.freeze(unfreeze)
        trained = [
            {n for n, p in each.backbone.named_parameters() if p.requires_grad}
            for each in (model, plain)
        ]
        assert trained[0] == trained[1], unfreeze
    model.freeze(0)
    assert model.constant_boundary == POOLED
    model.eval()
    x = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        logits = model(x)
        torch.testing.assert_close(model.suffix(model.prefix(x, POOLED), POOLED), logits)
    folder = save_bundle(tmp_path / "b", model, spec, ("a", "b", "c"))
    loaded = load_bundle(folder).classifier
    with torch.no_grad():
        assert torch.equal(loaded(x), logits)
    run = build_engine(loaded, x.numpy(), name="auto")
    np.testing.assert_allclose(run(x.numpy()), logits.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x@max:1+2", "max is no way to merge scales"),
        ("x@concat:1", "scales are whole numbers"),
        ("x@concat:2+1", "the first 1"),
        ("x@concat:1+0.5", "scales are whole numbers"),
        ("x@concat:1+1", "scales are whole numbers"),
    ],
)
def test_a_name_that_is_not_understood(name, words):
    with pytest.raises(DermaSenseError, match=words):
        split_name(name)
