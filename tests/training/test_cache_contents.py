"""The boundary cache reads what belongs to these weights, these draws, these samples."""

import numpy as np
import pytest
import torch

from dermasense.data.augment import light
from dermasense.data.balance import Permutation
from tests.training.test_boundary_cache import cache_in, frozen_model
from tests.training.tiny import tiny_data


def test_a_backbone_that_has_trained_since_is_looked_at_anew(tmp_path):
    cache, model, data = cache_in(tmp_path), frozen_model(), tiny_data(augmented=False)
    cache.prepare(model, data, ("train",))
    with torch.no_grad():
        model.backbone.blocks[1][0].bn1.running_mean -= 0.5
    cache.prepare(model, data, ("train",))
    pictures = torch.from_numpy(data.prepared.store.images[:42]).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = model.eval().prefix(pictures, "pooled")
    assert np.allclose(data.activations["train"][0][:], expected, atol=1e-5)


def test_another_augmentation_normalisation_trunk_or_engine_gives_another_file(tmp_path, built):
    def prepare(model=None, data=None, trunk="image", **options):
        cache = cache_in(tmp_path, **options)
        cache.trunk = trunk
        cache.prepare(model or frozen_model(), data or tiny_data(), ("train",))
        return len(built)

    darker, shifted, wider, named = tiny_data(), *(frozen_model() for _ in range(3))
    darker.augment = light(image_size=16, brightness=0.5)
    shifted.mean += 0.1
    wider.std *= 2
    named.recipe = {"backbone": "other"}
    assert prepare() == 1
    assert prepare(data=darker) == 2
    assert prepare(shifted) == 3
    assert prepare(wider) == 4
    assert prepare(named) == 5
    assert prepare(trunk="blocks.1.0") == 7  # the trunk, too
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert prepare(engine="onnx") == 8


def test_another_seed_draws_other_views(tmp_path):
    one, other = tiny_data(), tiny_data()
    other.seed = 1
    for data in (one, other):
        cache_in(tmp_path).prepare(frozen_model(), data, ("train",))
    views = [data.activations["train"][0][:] for data in (one, other)]
    assert not np.allclose(*views, atol=1e-4)


def test_a_balance_of_blends_alone_reads_its_own_rows(tmp_path):
    model, both = frozen_model(), tiny_data(balance="smote", augmented=False)
    alone = tiny_data(balance="smote", augmented=False)
    made = both.rows.draws.weight > 0
    alone._rows = Permutation(both.rows.draws[made])
    for data in (both, alone):
        cache_in(tmp_path).prepare(model, data, ("train",))
    expected = both.activations["train"][0][np.flatnonzero(made)]
    assert np.array_equal(alone.activations["train"][0][:], expected)
