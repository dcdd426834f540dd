"""One file of activations for all: folds compute what is new to them, a killed build goes on."""

import numpy as np
import pytest

from dermasense.data import growing_file
from dermasense.training import boundary_cache
from tests.training.test_boundary_cache import cache_in, frozen_model
from tests.training.tiny import tiny_data


def test_folds_share_what_they_have_in_common(tmp_path, monkeypatch):
    """Another split of the same pictures computes those alone that nobody asked for before."""
    asked = []
    real = growing_file.GrowingFile._fill

    def spy(self, missing, compute):
        asked.append(len(missing))
        return real(self, missing, compute)

    monkeypatch.setattr(growing_file.GrowingFile, "_fill", spy)
    first, second, alone = tiny_data(), tiny_data(), tiny_data()
    for fold in (second, alone):
        fold.prepared.split[:] = ["test"] * 12 + ["train"] * 42 + ["val"] * 12
    cache_in(tmp_path, views=2).prepare(frozen_model(), first, ("train", "val"))
    assert asked == [42, 42, 12]
    cache_in(tmp_path, views=2).prepare(frozen_model(), second, ("train", "val", "test"))
    assert asked[3:] == [12, 12, 12, 12]
    cache_in(tmp_path / "alone", views=2).prepare(frozen_model(), alone, ("train", "val"))
    for shared, own in zip(second.activations["train"], alone.activations["train"], strict=True):
        assert np.array_equal(shared[:], own[:])


def test_a_trunk_of_many_batches_gives_what_one_batch_gives(tmp_path, monkeypatch):
    views = []
    for size in (64, 8):
        monkeypatch.setattr(boundary_cache, "BATCH", size)
        cache, data = cache_in(tmp_path / str(size)), tiny_data()
        cache.trunk = "blocks.1.0"
        cache.prepare(frozen_model(), data, ("train",))
        views.append(data.activations["train"][0][:])
    assert np.allclose(*views, atol=1e-5)


def test_a_phase_that_trains_all_leaves_the_trunk_to_the_others(tmp_path):
    cache = cache_in(tmp_path)
    cache.plan(frozen_model(), [0, 2, "all"])
    assert cache.trunk == "blocks.1.1"


def test_a_killed_build_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(boundary_cache, "BATCH", 8)
    monkeypatch.setattr(growing_file, "SAVE", 8)
    whole = tiny_data()
    cache_in(tmp_path / "whole").prepare(frozen_model(), whole, ("train",))
    computed = []

    class Killed(BaseException):
        pass

    def die(done, total):
        computed.append(total)
        if done > 24 and total == 42:
            raise Killed

    cut = tiny_data()
    with pytest.raises(Killed):
        cache_in(tmp_path / "cut", progress=die).prepare(frozen_model(), cut, ("train",))
    cache_in(tmp_path / "cut", progress=die).prepare(frozen_model(), cut, ("train",))
    assert computed[-1] < 42
    assert np.array_equal(whole.activations["train"][0][:], cut.activations["train"][0][:])
