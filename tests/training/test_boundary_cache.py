"""The boundary cache: the same training as without it, computed once, and safe to share."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import albumentations as A
import numpy as np
import pytest
import torch

from dermasense.data import growing_file, row_file
from dermasense.data.augment import Augmentation
from dermasense.errors import DermaSenseError
from dermasense.inference.logits import predict_logits
from dermasense.training import keeper
from dermasense.training.boundary_cache import BATCH, BoundaryCache
from dermasense.training.recipe import parse_phases
from tests.training.cuts import Cut, assert_same_weights, train
from tests.training.tiny import PHASES, cuttable_classifier, tiny_data, tiny_recipe

SCHEDULE = parse_phases(
    {
        "frozen": {"epochs": 3, "unfreeze": 0, "lr": 1e-2},
        "last": {"epochs": 2, "unfreeze": 2, "lr": 1e-3},
        "more": {"epochs": 2, "unfreeze": "blocks:1", "lr": 1e-3},
    }
)
BOUNDARIES = ["pooled", "blocks.1.1", "blocks.1.0"]


def cache_in(folder, **options):
    return BoundaryCache(folder, **{"dtype": "fp32", "engine": "torch", **options})


def train_cached(folder, cache=None, **options):
    options = {"phases": SCHEDULE, "make_model": cuttable_classifier, **options}
    return train(folder / "run", cache=cache or cache_in(folder / "cache"), **options)


def frozen_model(unfreeze=0, **options):
    model = cuttable_classifier(**options)
    model.freeze(unfreeze)
    return model


@pytest.mark.parametrize("balance", ["none", "sampler", "smote"])
def test_without_augmentation_the_weights_are_those_of_the_ordinary_path(
    tmp_path, balance, monkeypatch
):
    # Every epoch's weights go on, so that the last phase's are compared.
    monkeypatch.setattr(keeper, "is_better", lambda *_: True)
    # Plain SGD: Adam turns the rounding of a gradient near zero into a whole step.
    recipe = tiny_recipe(optimizer={"name": "sgd"}, scheduler={"name": "cosine"})
    options = {"balance": balance, "augmented": False, "recipe": recipe}
    cached, progress, _ = train_cached(tmp_path, cache_in(tmp_path / "cache", views=3), **options)
    plain, ordinary, _ = train(
        tmp_path / "plain", phases=SCHEDULE, make_model=cuttable_classifier, **options
    )
    for (name, one), other in zip(
        cached.state_dict().items(), plain.state_dict().values(), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6), name
    assert progress.best.phase == ordinary.best.phase == "more"
    for row, expected in zip(progress.history, ordinary.history, strict=True):
        for loss in ("train_loss", "val_nll"):
            assert row[loss] == pytest.approx(expected[loss], rel=1e-6)


def test_each_phase_is_cached_at_its_own_boundary_from_the_earliest_one(tmp_path, built):
    train_cached(tmp_path)
    trunk = "activations at blocks.1.0"
    at = [f"activations at {boundary}" for boundary in BOUNDARIES]
    assert built[:2] == [at[0], trunk]  # the first phase computes the trunk on its way
    assert sorted(built) == sorted(2 * at)  # train and val


def test_views_are_drawn_once_and_walked_in_turn(tmp_path):
    model, data = frozen_model(), tiny_data()
    cache_in(tmp_path, views=3).prepare(model, data, ("train", "val"))
    views = data.activations["train"]
    assert [view.shape for view in views] == 3 * [(42, 16)]
    assert [view.shape for view in data.activations["val"]] == [(12, 16)]
    views = [view[:] for view in views]
    assert all(not np.allclose(views[i], views[j]) for i, j in [(0, 1), (0, 2), (1, 2)])
    for phase, epoch, view in [(0, 4, 1), (0, 0, 0), (1, 0, 1), (2, 0, 2), (2, 2, 1)]:
        data.start_at(phase)
        data.trainer = SimpleNamespace(current_epoch=epoch)
        for batch in data.train_dataloader():
            assert np.array_equal(batch["x"], views[view][batch["row"]])
            assert np.array_equal(batch["label"], data.labels("train")[batch["row"]])
    again = tiny_data()
    cache_in(tmp_path / "elsewhere", views=3).prepare(model, again, ("train",))
    assert np.array_equal([view[:] for view in again.activations["train"]], views)


def test_a_pickled_view_carries_no_activations(tmp_path):
    model, data = frozen_model(2), tiny_data()
    cache_in(tmp_path, views=3).prepare(model, data, ("train",))
    data.trainer = SimpleNamespace(current_epoch=2)
    loader = data.train_dataloader()
    pickled = pickle.dumps(loader.dataset)
    assert len(pickled) < 4500 < loader.dataset.view[:].nbytes
    keys = next(iter(loader.sampler))
    read, expected = pickle.loads(pickled)[keys], loader.dataset[keys]
    assert np.array_equal(expected["x"], data.activations["train"][2][expected["row"].numpy()])
    assert all(np.array_equal(read[name], value) for name, value in expected.items())


def test_a_synthetic_sample_is_the_blend_of_its_pixels_seen_by_the_backbone(tmp_path):
    model, data = frozen_model(), tiny_data(balance="smote", augmented=False)
    cache_in(tmp_path).prepare(model, data, ("train",))
    draws, images = data.rows.draws, data.prepared.store.images
    (view,) = data.activations["train"]
    assert view.shape == (63, 16)
    for i in (0, 50, 62):
        one, other = images[draws.first[i]].astype(float), images[draws.second[i]].astype(float)
        pixels = np.rint(one + draws.weight[i] * (other - one)).astype(np.uint8)
        with torch.no_grad():
            picture = torch.from_numpy(pixels).permute(2, 0, 1)[None]
            expected = model.eval().prefix(picture, "pooled")
        assert np.allclose(view[np.array([i])], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["tiny", "cuttable"])
def test_a_cached_run_cut_at_any_moment_ends_bit_equal(tmp_path, kind):
    options = {} if kind == "cuttable" else {"make_model": train.__kwdefaults__["make_model"]}
    options["phases"] = SCHEDULE if kind == "cuttable" else PHASES
    cache = cache_in(tmp_path / "cache", views=2, dtype="fp16")
    whole, progress, calls = train_cached(tmp_path / "whole", cache, **options)
    for number, moment in enumerate([2, calls // 3, calls // 2, calls - 3]):
        fresh = cache_in(tmp_path / f"cache{number}", views=2, dtype="fp16")
        folder = tmp_path / str(number)
        with pytest.raises(Cut):
            train_cached(folder, fresh, cut_after=moment, **options)
        resumed, progress_resumed, _ = train_cached(folder, fresh, **options)
        assert_same_weights(whole, resumed)
        assert progress_resumed.history == progress.history


def test_heads_losses_rates_and_batches_share_one_pass_of_the_backbone(tmp_path, built):
    for head, batch_size in [("linear", 8), ("se_mlp", 16)]:
        model, data = frozen_model(head=head), tiny_data(batch_size=batch_size)
        cache_in(tmp_path).prepare(model, data, ("train", "val"))
    assert len(built) == 2


def test_whatever_decides_about_the_numbers_gives_another_file(tmp_path, built):
    def prepare(model=None, data=None, **options):
        model = model or frozen_model()
        cache_in(tmp_path, **options).prepare(model, data or tiny_data(), ("train",))
        return len(built)

    other = frozen_model()
    with torch.no_grad():
        other.backbone.blocks[1][0].bn1.running_mean += 0.1
    moved = tiny_data()
    moved.prepared.store.path = Path("other_pictures.npy")
    seeded = tiny_data()
    seeded.seed = 1
    assert prepare() == 1
    assert prepare(other) == 2
    assert prepare(frozen_model(2)) == 3
    assert prepare(data=moved) == 4
    assert prepare(data=seeded) == 5
    assert prepare(data=tiny_data(balance="smote")) == 6  # the synthetic samples alone
    assert prepare(data=tiny_data(augmented=False)) == 7
    assert prepare(views=2) == 8  # the second view alone
    assert prepare(dtype="fp16") == 9
    assert prepare() == prepare(data=tiny_data(balance="sampler")) == 9  # the same real images


def test_an_augmentation_whose_code_has_changed_is_computed_anew(tmp_path, built):
    """An own one keeps its name and options whatever stands in its functions."""

    def darker(image, by, **_):
        return image // by

    def prepare(by):
        data = tiny_data()
        data.augment = Augmentation([A.Lambda(name="mine", image=partial(darker, by=by), p=0.5)])
        cache_in(tmp_path).prepare(frozen_model(), data, ("train", "val"))
        return len(built)

    assert prepare(by=2) == 2
    assert prepare(by=2) == 2
    assert prepare(by=3) == 3  # the training split alone


def test_a_damaged_file_is_noticed_and_computed_anew(tmp_path, built, caplog):
    model, data = frozen_model(), tiny_data()
    cache_in(tmp_path).prepare(model, data, ("train",))
    before, (path,) = data.activations["train"][0][:], tmp_path.glob("*.npy")
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size - 24 * 16 * 4 - 10)
        file.write(b"x")
    growing_file._compared.clear()  # as another process would find it
    cache_in(tmp_path).prepare(model, data, ("train",))
    assert len(built) == 2 and "row 41 is damaged" in caplog.text
    assert np.array_equal(before, data.activations["train"][0][:])


def test_two_that_build_at_once_compute_once(tmp_path, built):
    models = [frozen_model(), frozen_model()]

    def prepare(model):
        data = tiny_data()
        cache_in(tmp_path).prepare(model, data, ("train",))
        return data.activations["train"][0][:]

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(prepare, models)
    assert len(built) == 1 and np.array_equal(one, other)
    assert not list(tmp_path.glob(".*.tmp"))


def test_predictions_from_the_cache_are_the_ordinary_ones(tmp_path):
    model, data = frozen_model(2), tiny_data()
    ordinary = predict_logits(model, data.evaluation_loader("test"))
    boundary = cache_in(tmp_path, engine="auto", dtype="fp16").prepare(model, data, ("test",))
    cached = predict_logits(model, data.evaluation_loader("test"), boundary=boundary)
    assert boundary == "blocks.1.1"
    assert cached == pytest.approx(ordinary, abs=1e-4)


def test_a_phase_that_trains_all_layers_runs_on_pictures(tmp_path, caplog, built):
    caplog.set_level("INFO")
    train_cached(tmp_path, phases=PHASES[1:2])
    assert "Phase last: nothing is constant" in caplog.text and not built


def test_overfitting_a_batch_runs_on_pictures(tmp_path):
    data = tiny_data()
    data.overfit_batches = 2
    assert cache_in(tmp_path).prepare(frozen_model(), data, ("train",)) == "image"
    assert not data.activations


def test_a_disk_without_room_is_one_sentence_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(row_file.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e6))
    with pytest.raises(DermaSenseError, match=r"cannot write .* GB .*0\.0 GB are free.*cache_dir="):
        cache_in(tmp_path).prepare(frozen_model(), tiny_data(), ("train",))


def test_values_beyond_half_precision_are_named(tmp_path):
    model = frozen_model()
    with torch.no_grad():
        model.backbone.bn2.weight.fill_(1e6)
    with pytest.raises(DermaSenseError, match="not finite in float16; type cache"):
        cache_in(tmp_path, dtype="fp16").prepare(model, tiny_data(), ("train",))
    (note,) = tmp_path.glob("*.rows")
    assert (np.fromfile(note, np.int64)[:-1] == growing_file.ABSENT).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"views": 0}, "cache.views=0: expected an integer >= 1"),
        ({"dtype": "fp61"}, "cache.dtype=fp61 is unknown; did you mean 'fp16'"),
        ({"engine": "onx"}, "engine=onx is unknown; did you mean 'onnx'"),
    ],
)
def test_a_wrong_option_is_named(tmp_path, options, sentence):
    with pytest.raises(DermaSenseError, match=sentence):
        cache_in(tmp_path, **options)


def test_the_last_batch_of_a_view_may_be_small(tmp_path):
    data = tiny_data(balance="smote")
    assert len(data.rows) % BATCH
    cache_in(tmp_path, views=2).prepare(frozen_model(), data, ("train",))
    for view in data.activations["train"]:
        assert np.isfinite(view[:]).all() and view[:].any(1).all()


def test_averaged_weights_keep_the_prefix_as_it_was(tmp_path):
    start = cuttable_classifier()
    model, *_ = train_cached(tmp_path, recipe=tiny_recipe(ema_decay=0.9))
    before = start.modules_before("blocks.1.0").state_dict()
    after = model.modules_before("blocks.1.0").state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_smote_between_embeddings_blends_every_view_by_one_recipe(tmp_path):
    model, data = frozen_model(), tiny_data(balance="smote_features")
    assert len(data.rows) == 42  # before there are embeddings
    cache_in(tmp_path, views=2).prepare(model, data, ("train", "val"))
    draws, views = data.draws("train"), data.activations["train"]
    assert len(data.rows) == len(draws) == 63  # of training rows alone: 21 of each class
    assert draws.first.max() < 42 and draws.second.max() < 42
    for epoch in (0, 1):
        data.trainer = SimpleNamespace(current_epoch=epoch)
        loader = data.train_dataloader()
        for keys, batch in zip(loader.sampler, loader, strict=True):
            one, other = (views[epoch][at] for at in (keys.draws.first, keys.draws.second))
            expected = one + keys.draws.weight[:, None].astype("f4") * (other - one)
            assert np.allclose(batch["x"], expected, atol=1e-5)
            assert np.array_equal(batch["label"], data.labels("train")[keys.draws.first])
    cache_in(tmp_path).prepare(model, data, ("val", "test"))
    assert len(data.rows) == 42


@pytest.mark.parametrize("balance", ["smote_features", "smote"])
def test_a_balanced_cached_run_cut_anywhere_ends_bit_equal(tmp_path, balance):
    options = {"phases": SCHEDULE[:1], "balance": balance}
    cache = cache_in(tmp_path / "cache", views=2, dtype="fp16")
    whole, progress, calls = train_cached(tmp_path / "whole", cache, **options)
    for moment in (3, calls - 3):
        folder = tmp_path / str(moment)
        with pytest.raises(Cut):
            train_cached(folder, cache, cut_after=moment, **options)
        resumed, again, _ = train_cached(folder, cache, **options)
        assert_same_weights(whole, resumed)
        assert again.history == progress.history
