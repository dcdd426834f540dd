"""Loaders: each image once an epoch, the same wherever it was cut and whoever loads it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from dermasense.data.augment import light
from dermasense.data.balance import build_rows
from dermasense.data.catalog import Catalog
from dermasense.data.datamodule import LesionData
from dermasense.data.prepared import Prepared
from dermasense.errors import DermaSenseError

COUNTS = {"train": 22, "val": 7, "test": 5}
N = sum(COUNTS.values())
CLASSES = ("10", "2", "nv")  # sorted as text
LIGHT = light(8)


@pytest.fixture(scope="module")
def prepared():
    """Pictures of noise in the store in reverse order, splits in no order at all."""
    rng = np.random.default_rng(0)
    split = rng.permutation(np.repeat(list(COUNTS), list(COUNTS.values())))
    codes = np.empty(N, np.int64)
    for name, count in COUNTS.items():
        codes[split == name] = np.resize([2, 0, 2, 1], count)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(N)],
            "label": np.array(CLASSES)[codes],
            "group": [f"g{n}" for n in range(N)],
            "path": "",
            "origin": "",
        }
    )
    images = rng.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
    store = SimpleNamespace(images=images, path=Path("noise.npy"))
    catalog = Catalog("noise", frame, CLASSES, (), "none", "none")
    return Prepared(catalog, store, pd.Series(split), np.arange(N)[::-1])


def make(prepared, *, balance="none", workers=0, augment=LIGHT, seed=3, k=2, **options):
    return LesionData(
        prepared,
        balance={"name": balance} | ({"k_neighbors": k} if balance == "smote" else {}),
        augment=augment,
        batch_size=5,
        num_workers=workers,
        seed=seed,
        **options,
    )


def walk(data, phase=0, epoch=0, batch=0, now=None):
    """Batches of the loader of one epoch, after a start at (phase, epoch, batch)."""
    data.start_at(phase, epoch, batch)
    data.trainer = SimpleNamespace(current_epoch=epoch if now is None else now)
    return list(data.train_dataloader())


def ids(data, batches, split="train"):
    rows = torch.cat([batch["row"] for batch in batches]).numpy()
    return data.frame(split)["image_id"].to_numpy()[rows].tolist()


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert all(torch.equal(batch[name], other[name]) for name in ("x", "label", "row"))


def test_an_epoch_shows_each_image_of_the_split_once_with_its_label_and_pixels(prepared):
    data = make(prepared, augment=None)
    batches = walk(data)
    assert data.batches_per_epoch == len(batches) == 5
    seen = ids(data, batches)
    assert sorted(seen) == sorted(data.frame("train")["image_id"])
    labels = prepared.catalog.frame.set_index("image_id")["label"][seen]
    assert [CLASSES[code] for batch in batches for code in batch["label"]] == labels.tolist()
    pixels = torch.cat([batch["x"] for batch in batches]).permute(0, 2, 3, 1).numpy()
    places = [N - 1 - int(name[1:]) for name in seen]
    assert np.array_equal(pixels, prepared.store.images[places])


@pytest.mark.parametrize("balance", ["none", "sampler", "smote"])
def test_an_epoch_that_was_cut_anywhere_goes_on_with_the_same_batches(prepared, balance):
    whole = walk(make(prepared, balance=balance), 1, 2)
    for cut in range(1, len(whole)):
        resumed = make(prepared, balance=balance)
        assert_same(walk(resumed, 1, 2, cut), whole[cut:])
        if balance == "none":
            assert len(set(ids(resumed, whole[:cut] + walk(resumed, 1, 2, cut)))) == 22
    # The epochs after it begin at their first batch.
    after = walk(make(prepared, balance=balance), 1, 2, 3, now=3)
    assert_same(after, walk(make(prepared, balance=balance), 1, 3))


@pytest.mark.parametrize("batch", [0, 3])
def test_two_workers_load_what_none_loads(prepared, batch):
    alone, helped = (walk(make(prepared, workers=n), 1, 2, batch) for n in (0, 2))
    assert_same(alone, helped)


def test_epochs_and_phases_differ_in_order_and_in_augmentation(prepared):
    data = make(prepared)
    first, epoch, phase = walk(data), walk(data, epoch=1), walk(data, phase=1)
    assert len({tuple(ids(data, batches)) for batches in (first, epoch, phase)}) == 3
    looks = []
    for batches in (first, epoch, phase):
        pixels = torch.cat([batch["x"] for batch in batches])
        looks.append(pixels[np.argsort(ids(data, batches))])
    same = [(looks[i] == looks[j]).all((1, 2, 3)).float().mean() for i, j in ((0, 1), (0, 2))]
    assert max(same) < 0.3


@pytest.mark.parametrize("balance", ["sampler", "smote"])
def test_labels_of_balanced_batches_are_those_of_their_rows(prepared, balance):
    data = make(prepared, balance=balance)
    batches = walk(data)
    rows = torch.cat([batch["row"] for batch in batches])
    labels = torch.cat([batch["label"] for batch in batches])
    assert np.array_equal(labels, data.labels("train")[rows])
    assert data.class_counts.tolist() == [6, 5, 11]  # before balancing
    if balance == "smote":
        assert torch.bincount(labels).tolist() == [11, 11, 11]
    else:
        assert len(labels) == 22


def test_rows_of_another_seed_or_of_other_options_are_not_taken(prepared):
    for seed, k in ((3, 2), (4, 2), (4, 1)):  # in one process, as in a sweep
        data = make(prepared, balance="smote", seed=seed, k=k)
        images = prepared.store.images[data.dataset("train").rows]
        known = build_rows("smote", data.labels("train"), images, CLASSES, seed, k_neighbors=k)
        every = np.arange(33)
        for name in ("first", "second", "weight"):
            made = getattr(data.rows.draws[every], name)
            assert np.array_equal(made, getattr(known.draws[every], name)), (seed, k)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_walks_a_split_in_order_without_augmentation(prepared, workers):
    data = make(prepared, balance="sampler", workers=workers)
    for split, count in COUNTS.items():
        batches = list(data.evaluation_loader(split))
        inside = np.flatnonzero(prepared.split == split)
        assert len(inside) == count
        assert ids(data, batches, split) == data.frame(split)["image_id"].tolist()
        pixels = torch.cat([batch["x"] for batch in batches]).permute(0, 2, 3, 1)
        assert np.array_equal(pixels, prepared.store.images[N - 1 - inside])
        assert torch.cat([batch["label"] for batch in batches]).tolist() == (
            data.labels(split).tolist()
        )
    assert_same(data.val_dataloader(), data.evaluation_loader("val"))


def test_shuffled_rows_change_nothing_about_the_order_of_classes(prepared):
    order = np.random.default_rng(5).permutation(N)
    frame = prepared.catalog.frame.iloc[order].reset_index(drop=True)
    shuffled = replace(
        prepared,
        catalog=replace(prepared.catalog, frame=frame),
        split=prepared.split.iloc[order].reset_index(drop=True),
        rows=prepared.rows[order],
    )
    one, other = make(prepared), make(shuffled)
    assert one.class_counts.tolist() == other.class_counts.tolist()
    for split in COUNTS:
        for data in (one, other):
            named = [CLASSES[code] for code in data.labels(split)]
            assert named == data.frame(split)["label"].tolist()
    pictures = []
    for data in (one, other):
        batches = list(data.evaluation_loader("val"))
        pixels = torch.cat([batch["x"] for batch in batches])
        pictures.append(dict(zip(ids(data, batches, "val"), pixels, strict=True)))
    assert all(torch.equal(pixels, pictures[1][name]) for name, pixels in pictures[0].items())


@pytest.mark.parametrize(("limit", "batches"), [(3, 3), (9, 5), (0.5, 2), (0.01, 1), (1.0, 5)])
def test_a_limit_ends_each_epoch_early(prepared, limit, batches):
    data, whole = make(prepared, limit_batches=limit), make(prepared)
    assert data.batches_per_epoch == batches
    for epoch in (0, 1):
        assert_same(walk(data, epoch=epoch), walk(whole, epoch=epoch)[:batches])
    assert_same(walk(data, batch=batches - 1), walk(whole)[batches - 1 : batches])


@pytest.mark.parametrize("limit", [0, -1, 0.0, 1.5, "two"])
def test_a_limit_that_is_none_is_named(prepared, limit):
    with pytest.raises(DermaSenseError, match=f"trainer.limit_train_batches={limit}: expected"):
        make(prepared, limit_batches=limit)
    with pytest.raises(DermaSenseError, match=f"overfit_batches={limit}: expected an integer"):
        make(prepared, overfit_batches=limit)


@pytest.mark.parametrize("balance", ["none", "smote"])
def test_overfitting_validates_on_the_very_samples_it_learns(prepared, balance):
    data = make(prepared, balance=balance, overfit_batches=2)
    learned = walk(data)
    assert len(learned) == data.batches_per_epoch == 2
    assert_same(data.val_dataloader(), learned)
    for phase, epoch in ((0, 7), (1, 0), (2, 3)):
        assert_same(walk(data, phase, epoch), learned)
    plain = make(prepared, balance=balance, augment=None)
    assert_same(learned, walk(plain)[:2])
    assert torch.equal(data.augmented_sample(5)["x"], learned[0]["x"])


def test_the_sample_for_people_is_the_first_batch_as_the_network_sees_it(prepared):
    data = make(prepared)
    assert torch.equal(data.augmented_sample(5)["x"], walk(data)[0]["x"])
