"""Pictures in the memory of the device: the same batches as the loader's, blends included."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dermasense.data.device_augment import device
from dermasense.data.device_pixels import DevicePixels
from dermasense.errors import DermaSenseError
from tests.training.cuts import assert_same_weights, train
from tests.training.tiny import PHASES, tiny_data


def on_device(augment=None, **options):
    data = tiny_data(augmented=False, pixels_on="cpu", **options)
    data.augment = augment
    data.trainer = SimpleNamespace(current_epoch=1, training=True)
    return data


@pytest.mark.parametrize("balance", ["none", "sampler", "smote"])
def test_batches_are_those_of_the_loader(balance):
    ours, loader = on_device(balance=balance), tiny_data(augmented=False, balance=balance)
    loader.trainer = ours.trainer
    batches = zip(ours.train_dataloader(), loader.train_dataloader(), strict=True)
    for places, expected in batches:
        assert "x" not in places
        batch = ours.transfer_batch_to_device(places, torch.device("cpu"), 0)
        for name, value in expected.items():
            assert torch.equal(batch[name], value), name


def test_training_alone_is_augmented_and_by_the_seed():
    data = on_device(device(16))
    places = next(iter(data.train_dataloader()))
    one, again = (data.transfer_batch_to_device(places, None, 0)["x"] for _ in range(2))
    data.trainer.training = False
    plain = data.transfer_batch_to_device(places, None, 0)["x"]
    assert torch.equal(one, again) and not torch.equal(one, plain)


def test_a_schedule_of_phases_is_that_of_the_loader(tmp_path):
    options = {"phases": PHASES, "augmented": False}
    ours, progress, _ = train(tmp_path / "a", pixels_on="cpu", **options)
    plain, expected, _ = train(tmp_path / "b", **options)
    assert_same_weights(ours, plain)
    assert progress.history == expected.history


def test_a_memory_map_is_read_without_a_word(recwarn):
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    images.flags.writeable = False
    assert np.array_equal(DevicePixels(images, "cpu").images.numpy(), images)
    assert not recwarn.list


def test_an_augmentation_of_the_loader_is_refused():
    with pytest.raises(DermaSenseError, match="type augment=device or augment=none"):
        tiny_data(augmented=True, pixels_on="cpu")


def test_a_device_without_room_is_one_sentence(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError

    data = on_device()
    places = next(iter(data.train_dataloader()))
    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(DermaSenseError, match=r"do not fit .* type pixels=loader"):
        data.transfer_batch_to_device(places, None, 0)
    assert np.isfinite(places["weight"].numpy()).all()
