"""Test-time augmentation: the right number of different views, answers averaged as stated."""

import numpy as np
import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.inference.views import (
    SETS,
    VIEW,
    Views,
    averaged_logits,
    check_views,
    view_names,
)

COUNTS = {"none": 1, "flips": 4, "dihedral": 8, "crops": 6, "ten_crops": 10, "scales": 4}


def _network(side=4, classes=4):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * side * side, classes))


@pytest.mark.parametrize("views", SETS)
def test_views_are_all_different(views):
    image = torch.arange(1200.0).reshape(1, 3, 20, 20)
    seen = {tuple(VIEW[name](image).flatten().tolist()) for name in view_names(views)}
    assert len(seen) == COUNTS[views]
    assert views == "ten_crops" or tuple(image.flatten().tolist()) in seen


@pytest.mark.parametrize("views", ["flips", "dihedral"])
def test_the_answer_does_not_depend_on_how_the_picture_is_held(views):
    network, images = _network(), torch.randn(2, 3, 4, 4)
    answers = [averaged_logits(network, VIEW[name](images), views) for name in view_names(views)]
    for answer in answers[1:]:
        torch.testing.assert_close(answer, answers[0])


def test_ten_crops_of_a_mirrored_picture_are_those_of_the_picture():
    network, images = _network(20), torch.randn(2, 3, 20, 20)
    answers = [averaged_logits(network, each, "ten_crops") for each in (images, images.flip(-1))]
    torch.testing.assert_close(*answers)


def test_log_is_the_normalised_geometric_mean_and_probability_the_arithmetic_one():
    network, images = _network(), torch.randn(5, 3, 4, 4)
    shown = [network(VIEW[name](images)).softmax(1) for name in view_names("flips")]
    shares = torch.stack(shown).detach().double().numpy()
    geometric = np.exp(np.log(shares).mean(0))
    geometric /= geometric.sum(1, keepdims=True)
    for average, expected in (("log", geometric), ("probability", shares.mean(0))):
        got = averaged_logits(network, images, "flips", average).exp().detach().numpy()
        np.testing.assert_allclose(got, expected, atol=1e-6)
        np.testing.assert_allclose(got.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("views", ["none", "as_is"])
@pytest.mark.parametrize("average", ["log", "probability"])
def test_one_view_as_it_is_gives_the_networks_own_logits(views, average):
    images = torch.randn(2, 3, 4, 4)
    got = averaged_logits(torch.nn.Flatten(), images, views, average)
    assert torch.equal(got, images.flatten(1))


def test_views_that_are_averaged_otherwise_are_others_and_of_one_there_is_no_average():
    assert Views("flips", "log").same_as(Views("flips", "log"))
    assert not Views("flips", "log").same_as(Views("flips", "probability"))
    assert not Views("flips", "log").same_as(Views("dihedral", "log"))
    assert Views("none", "log").same_as(Views("as_is", "probability"))


@pytest.mark.parametrize("name", VIEW)
def test_a_view_keeps_shape_type_and_an_even_picture(name):
    even = torch.full((2, 3, 33, 33), 77, dtype=torch.uint8)
    assert torch.equal(VIEW[name](even), even)


def test_crops_and_zooms_show_what_their_names_say():
    column = torch.arange(100.0).repeat(1, 3, 100, 1)  # each pixel says how far right it lies
    ends = {name: VIEW[name](column)[0, 0, 0, [0, -1]].tolist() for name in VIEW}
    for name, left, right in (
        ("crop_top_left", 0, 83),
        ("crop_bottom_right", 16, 99),
        ("crop_centre", 8, 91),
        ("mirrored_crop_centre", 91, 8),
        ("zoom_80", 10, 89),
        ("zoom_70", 15, 84),
    ):
        assert ends[name] == pytest.approx([left, right], abs=0.6), name
    wide = VIEW["zoom_130"](column)[0, 0, 50]
    assert wide[30:71].diff().mean() == pytest.approx(1.3, abs=0.02)  # more scene a pixel
    assert wide[0] > 5 and wide[0] == pytest.approx(float(wide[22]))  # mirrored edge


def test_sets_and_views_join_and_each_counts_once():
    assert view_names("flips+scales") == (*SETS["flips"], "zoom_80", "zoom_90", "zoom_115")
    assert view_names("as_is+mirrored+as_is") == ("as_is", "mirrored")


@pytest.mark.parametrize("views", SETS)
def test_tiny_pictures_pass_through_every_set(views):
    assert averaged_logits(_network(2), torch.zeros(1, 3, 2, 2), views).shape == (1, 4)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(DermaSenseError, match="did you mean 'dihedral'"):
        check_views(views="dihedral8", average="log")
    with pytest.raises(DermaSenseError, match=r"flips\+zom_80 is unknown; did you mean 'zoom_80'"):
        check_views(views="flips+zom_80", average="log")
    with pytest.raises(DermaSenseError, match=r"tta\.average=mean is unknown"):
        check_views(views="flips", average="mean")


def test_crops_lie_as_high_as_their_names_say_and_zooms_take_their_share():
    row = torch.arange(100.0)[:, None].repeat(1, 3, 1, 100)  # each pixel says how far down it lies
    for name, top, bottom in (
        ("crop_top_right", 0, 83),
        ("crop_bottom_left", 16, 99),
        ("mirrored_crop_bottom_right", 16, 99),
        ("zoom_90", 5, 94),
    ):
        ends = VIEW[name](row)[0, 0, [0, -1], 0].tolist()
        assert ends == pytest.approx([top, bottom], abs=0.6), name
    assert VIEW["zoom_115"](row)[0, 0, 30:71, 50].diff().mean() == pytest.approx(1.15, abs=0.02)


def test_a_smaller_picture_is_smoothed():
    stripes = (torch.arange(100) % 2 * 255.0).repeat(1, 3, 100, 1)
    plain = torch.nn.functional.interpolate(stripes, (77, 77), mode="bilinear")
    assert VIEW["zoom_130"](stripes)[0, 0, 50].std() < 0.9 * plain[0, 0, 38].std()
