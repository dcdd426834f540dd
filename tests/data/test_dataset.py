"""Batches of pictures: the right pixels and labels, also in a worker that is sent no pixels."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dermasense.data.augment import light
from dermasense.data.balance import Draws
from dermasense.data.dataset import Activations, LesionImages, View
from dermasense.data.sampling import BatchKeys, sequential_batches

SIDE = 64
ROWS = np.array([7, 0, 3, 299])
LABELS = np.array([1, 0, 2, 0])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """300 pictures of noise in a memory-mapped file, 3.7 MB."""
    path = tmp_path_factory.mktemp("store") / "images.npy"
    shape = (300, SIDE, SIDE, 3)
    np.save(path, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    return np.load(path, mmap_mode="r")


def keys(first, second=None, weight=0.0, seed=0):
    first = np.array(first)
    second = first if second is None else np.array(second)
    draws = Draws(first, second, np.full(len(first), weight))
    return BatchKeys(first, draws, np.full(len(first), seed))


def test_a_batch_holds_the_pixels_and_labels_of_its_rows(store):
    batch = LesionImages(store, ROWS, LABELS)[keys([2, 0, 3])]
    assert batch["x"].shape == (3, 3, SIDE, SIDE) and batch["x"].dtype == torch.uint8
    assert np.array_equal(batch["x"].permute(0, 2, 3, 1), store[[3, 7, 299]])
    assert batch["label"].tolist() == [2, 1, 0] and batch["row"].tolist() == [2, 0, 3]
    assert batch["x"].is_contiguous(memory_format=torch.channels_last)


def test_a_blend_has_the_label_of_its_first_picture(store):
    batch = LesionImages(store, ROWS, LABELS)[keys([1], [3], weight=0.25)]
    one, other = store[0].astype(float), store[299].astype(float)
    assert np.array_equal(
        batch["x"][0].permute(1, 2, 0), np.rint(0.75 * one + 0.25 * other).astype(np.uint8)
    )
    assert batch["label"].tolist() == [0] and batch["row"].tolist() == [1]


def test_the_augmentation_is_told_by_the_seed_of_the_sample(store):
    data = LesionImages(store, ROWS, LABELS, light(SIDE))
    one, again, other = (data[keys([0, 1], seed=seed)]["x"] for seed in (5, 5, 6))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert not torch.equal(one, LesionImages(store, ROWS, LABELS)[keys([0, 1])]["x"])


@pytest.mark.parametrize("piece", [slice(None), slice(100, 300)])
def test_a_pickled_dataset_carries_no_pixels_and_reads_the_same(store, piece):
    data = LesionImages(store[piece], ROWS[:3], LABELS[:3], light(SIDE))
    pickled = pickle.dumps(data)
    assert len(pickled) < 100_000 < store[piece].nbytes
    read, expected = pickle.loads(pickled)[keys([0, 1, 2])], data[keys([0, 1, 2])]
    assert all(torch.equal(read[name], value) for name, value in expected.items())


def test_what_lies_in_memory_alone_is_pickled_with_its_pixels(store):
    for images in (np.array(store[:8]), store[::100], store[[1, 2, 3]]):
        data = pickle.loads(pickle.dumps(LesionImages(images, np.arange(3), LABELS[:3])))
        assert np.array_equal(data.images, images)


def test_a_spawned_worker_reads_the_right_pixels(store):
    loader = DataLoader(
        LesionImages(store, ROWS, LABELS),
        sampler=sequential_batches(4, 3),
        batch_size=None,
        num_workers=1,
        multiprocessing_context="spawn",
    )
    batches = list(loader)
    pixels = torch.cat([batch["x"] for batch in batches]).permute(0, 2, 3, 1)
    assert np.array_equal(pixels, store[ROWS])
    assert torch.cat([batch["label"] for batch in batches]).tolist() == LABELS.tolist()


def test_activations_are_those_of_the_sample_and_labels_those_of_its_first_picture():
    real, made = (np.arange(40, dtype=np.float16).reshape(20, 2) + plus for plus in (0, 100))
    draws = Draws(np.array([0, 1, 2, 3, 3, 1]), np.array([0, 1, 2, 3, 1, 3]), np.zeros(6))
    view = View(real, np.array([7, 0, 3, 19, -1, -2]), made)
    batch = Activations(view, draws, LABELS)[keys([5, 2, 4])]
    assert batch["x"].dtype == torch.float32
    assert batch["x"].tolist() == [[102, 103], [6, 7], [100, 101]]
    assert batch["row"].tolist() == [1, 2, 3] and batch["label"].tolist() == [0, 2, 0]
    assert view[:].shape == view.shape == (6, 2)
