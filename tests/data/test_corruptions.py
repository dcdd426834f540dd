"""Corruptions: five strengths that grow, the same for the same seed, at any size; known values."""

import numpy as np
import pytest

from dermasense.data.corruptions import CORRUPTIONS, STRENGTHS, corruption_names
from dermasense.data.lesion_painter import paint
from dermasense.data.lesion_population import draw_population
from dermasense.errors import DermaSenseError


@pytest.fixture(scope="module")
def picture():
    person = draw_population(seed=3, n_lesions=20)[0]
    return paint(person.lesion, person.views[0], 160)[0]


def spoilt(name, image, strength, seed=7):
    return CORRUPTIONS[name](image, strength, np.random.default_rng([seed, 1]))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_strength_grows_and_the_picture_is_left_alone(name, picture):
    before = picture.copy()
    moved = []
    for strength in STRENGTHS:
        out = spoilt(name, picture, strength)
        assert out.shape == picture.shape and out.dtype == np.uint8
        moved.append(np.abs(out.astype(float) - picture).mean())
    np.testing.assert_array_equal(picture, before)
    assert moved[0] > 0 and moved[-1] > moved[0]
    if name != "rotation":  # a round lesion may fit itself again
        assert moved == sorted(moved)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_picture_at_odd_sizes_too(name, picture):
    for image in (picture, picture[:97, :131], np.full((24, 24, 3), 128, np.uint8)):
        np.testing.assert_array_equal(spoilt(name, image, 3), spoilt(name, image, 3))


@pytest.mark.parametrize("name", ["colour_cast", "rotation", "hair", "ruler"])
def test_seeds_differ_where_there_is_something_to_draw(name, picture):
    seen = {spoilt(name, picture, 4, seed).tobytes() for seed in range(6)}
    assert len(seen) > 1


def test_exposure_is_in_stops_of_linear_light():
    grey = np.full((4, 4, 3), 128, np.uint8)
    stop = 255 * ((128 / 255) ** 2.2 / 2) ** (1 / 2.2)
    assert spoilt("brightness", grey, 5)[0, 0, 0] == pytest.approx(
        255 * ((128 / 255) ** 2.2 * 2) ** (1 / 2.2), abs=1
    )
    two_stops = 255 * ((stop / 255) ** 2.2 / 2) ** (1 / 2.2)
    assert spoilt("darkness", grey, 5)[0, 0, 0] == pytest.approx(two_stops, abs=1)


def test_a_colour_cast_moves_channels_apart_by_so_many_stops():
    out = spoilt("colour_cast", np.full((2, 2, 3), 100, np.uint8), 5)[0, 0] / 100
    assert np.log2(out.max() / out.min()) * 2.2 == pytest.approx(0.75, abs=0.08)


def test_five_times_a_quarter_turn_of_a_square_is_exact(picture):
    square = picture[:100, :100]
    out = spoilt("rotation", square, 5)
    turned = [np.rot90(square, quarters) for quarters in (1, 3)]
    assert min(np.abs(out.astype(int) - each).max() for each in turned) <= 1


def test_less_resolution_than_asked_for_changes_nothing():
    small = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(spoilt("resolution", small, 4), small)


def test_the_hairs_of_a_lower_strength_are_among_those_of_a_higher():
    white = np.full((150, 200, 3), 255, np.uint8)
    few, many = (spoilt("hair", white, strength) < 255 for strength in (1, 4))
    assert few.any() and (few & many).sum() == few.sum() < many.sum()


def test_names_are_read_and_unknown_ones_answered_with_the_nearest():
    assert corruption_names("all") == tuple(CORRUPTIONS)
    assert corruption_names("blur, jpeg,blur") == ("blur", "jpeg")
    with pytest.raises(DermaSenseError, match="did you mean 'rotation'"):
        corruption_names("blur,rotate")
