"""Changes of a batch on the device: functions of the seeds, exact where nothing is changed."""

import numpy as np
import pytest
import torch

from dermasense.data.device_augment import device, uniform
from dermasense.errors import DermaSenseError

NOTHING = dict(crop=1.0, rotation=0.0, shift=0.0, brightness=0.0, contrast=0.0, saturation=0.0)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (8, 3, 24, 24), dtype=np.uint8))


def test_without_any_change_the_pictures_are_themselves_or_their_mirrors(images):
    changed = device(24, **NOTHING).batch(images, np.arange(8))
    seen = set()
    for picture, original in zip(changed, images, strict=True):
        mirrors = [original, original.flip(-1), original.flip(-2), original.flip(-1, -2)]
        which = [int(torch.equal(picture, mirror)) for mirror in mirrors]
        assert sum(which) == 1
        seen.add(which.index(1))
    assert len(seen) > 2


def test_a_sample_depends_on_its_seed_alone(images):
    augment, seeds = device(24), np.array([5, 6, 7, 5, 9, 2**62, 11, 12])
    whole = augment.batch(images, seeds)
    part = augment.batch(images[[5, 0]], seeds[[5, 0]])
    assert torch.equal(part, whole[[5, 0]])
    one = augment(images[2].permute(1, 2, 0).numpy(), 7)
    assert np.array_equal(one, whole[2].permute(1, 2, 0).numpy())
    assert not torch.equal(whole, augment.batch(images, seeds + 1))


def test_a_turn_by_its_angle_keeps_the_centre_and_moves_the_edge():
    image = torch.zeros((1, 3, 33, 33), dtype=torch.uint8)
    image[:, :, 14:19, 14:19] = 200
    changed = device(33, **{**NOTHING, "rotation": 180.0}).batch(
        image.repeat(50, 1, 1, 1), np.arange(50)
    )
    assert (changed[:, 0, 16, 16] == 200).all() and (changed[:, 0, 2, 2] == 0).all()


@pytest.mark.parametrize(
    ("option", "most"), [("brightness", 0.2), ("contrast", 0.3), ("saturation", 0.4)]
)
def test_colour_stays_within_its_range(option, most):
    image = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    image[:, 0] = 130
    changed = device(4, **{**NOTHING, option: most}).batch(
        image.repeat(300, 1, 1, 1), np.arange(300)
    )
    red, blue = (changed[:, channel, 0, 0].float() for channel in (0, 2))
    expected = {
        "brightness": (130 - 255 * most, 130 + 255 * most),
        "contrast": (130 * (1 - most), 130 * (1 + most)),
        "saturation": (110 + 20 * (1 - most), 110 + 20 * (1 + most)),
    }[option]
    assert red.min() >= expected[0] - 0.5 and red.max() <= expected[1] + 0.5
    assert red.max() - red.min() > 0.9 * (expected[1] - expected[0])
    if option == "saturation":
        assert ((red + 2 * blue - 330).abs() <= 3).all()  # grey stays, but for rounding


def test_draws_are_uniform_and_unrelated():
    draws = uniform(np.arange(20_000), 4)
    assert draws.shape == (4, 20_000) and draws.min() >= 0 and draws.max() < 1
    counts = np.apply_along_axis(lambda row: np.histogram(row, 10, (0, 1))[0], 1, draws)
    assert (np.abs(counts - 2000) < 250).all()
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.03
    assert abs(np.corrcoef(draws[0][:-1], draws[0][1:])[0, 1]) < 0.03


@pytest.mark.parametrize(
    "option",
    [{"crop": 0}, {"rotation": 181}, {"shift": -1}, {"contrast": "x"}, {"saturation": [1]}],
)
def test_a_value_out_of_range_is_named(option):
    with pytest.raises(DermaSenseError, match=next(iter(option))):
        device(24, **option)
