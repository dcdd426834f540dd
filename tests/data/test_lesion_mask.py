"""The segmentation beside masks that are known, and what is taken away by them."""

import numpy as np
import pytest

from dermasense.data.lesion_mask import grown, lesion_mask, skin_colour
from dermasense.data.lesion_painter import paint
from dermasense.data.lesion_population import draw_population
from dermasense.data.occlusions import OCCLUSIONS


@pytest.fixture(scope="module")
def painted():
    people = draw_population(seed=11, n_lesions=40)
    return [paint(each.lesion, each.views[0], 160) for each in people]


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_drawn_lesions_are_found(painted):
    found = [iou(lesion_mask(image).mask, mask) for image, mask in painted]
    assert np.mean(found) > 0.85 and np.mean(np.array(found) > 0.5) > 0.9


def test_a_margin_leaves_nearly_nothing_of_the_lesion(painted):
    left = [(mask & ~grown(lesion_mask(im).mask, 0.05)).sum() / mask.sum() for im, mask in painted]
    assert np.mean(left) < 0.03


def test_a_disc_is_found_at_any_size_and_through_a_round_lens():
    for side in (60, 150, 400):
        y, x = np.mgrid[-1 : 1 : side * 1j, -4 / 3 : 4 / 3 : side * 4 // 3 * 1j]
        image = np.full((*x.shape, 3), (225, 180, 160), np.uint8)
        disc = x**2 + y**2 < 0.16
        image[disc] = (120, 70, 50)
        assert iou(lesion_mask(image).mask, disc) > 0.9
        away = np.hypot(x, y)
        lens = (image * np.clip(1.25 - 0.35 * away, 0, 1)[..., None]).astype(np.uint8)
        lens[away > 1.25] = 3
        assert iou(lesion_mask(lens).mask, disc) > 0.85


@pytest.mark.parametrize("value", [0, 128, 255])
def test_nothing_to_find_is_said_and_the_middle_is_taken(value):
    found = lesion_mask(np.full((60, 80, 3), value, np.uint8))
    assert not found.found and found.mask[30, 40] and not found.mask[0, 0]


def test_skin_is_what_is_not_lesion(painted):
    image = np.full((40, 40, 3), (200, 150, 130), np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    image[mask] = 20
    np.testing.assert_array_equal(skin_colour(image, mask), (200, 150, 130))


def test_occlusions_take_away_what_their_names_say():
    rng = np.random.default_rng(0)
    image = rng.integers(30, 255, (100, 120, 3), dtype=np.uint8)
    mask = np.zeros((100, 120), bool)
    mask[40:60, 50:70] = True
    out = {name: hide(image, mask) for name, hide in OCCLUSIONS.items()}
    hidden = {name: (each != image).any(axis=-1) for name, each in out.items()}
    for name in ("lesion_to_skin", "lesion_black", "box_black", "box70_black"):
        assert hidden[name][mask].mean() > 0.99 and not hidden[name][0].any()
    assert not hidden["background_to_skin"][mask].any()
    assert hidden["background_to_skin"][0].mean() > 0.99
    black = {name: (each == 0).all(axis=-1).mean() for name, each in out.items()}
    assert black["lesion_black"] <= black["box_black"] < 0.1
    assert 0.7 <= black["box70_black"] < 0.75


def test_a_mask_at_the_edge_keeps_its_box_inside():
    image = np.full((60, 90, 3), 200, np.uint8)
    mask = np.zeros((60, 90), bool)
    mask[:5, :5] = True
    assert 0.7 <= (OCCLUSIONS["box70_black"](image, mask) == 0).all(axis=-1).mean() < 0.76
    full = np.ones((60, 90), bool)
    for hide in OCCLUSIONS.values():
        assert hide(image, full).shape == image.shape
