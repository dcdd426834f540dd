"""Test-time augmentation: the right number of different views, answers averaged as stated."""

import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.inference.views import VIEWS, averaged_logits, check_views


@pytest.mark.parametrize(("views", "count"), [("none", 1), ("flips", 4), ("dihedral", 8)])
def test_views_are_all_different(views, count):
    image = torch.arange(27.0).reshape(1, 3, 3, 3)
    seen = {tuple(turn(image).flatten().tolist()) for turn in VIEWS[views]}
    assert len(seen) == len(VIEWS[views]) == count
    assert tuple(image.flatten().tolist()) in seen


@pytest.mark.parametrize("views", ["flips", "dihedral"])
def test_the_answer_does_not_depend_on_how_the_picture_is_held(views):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4))
    images = torch.randn(2, 3, 4, 4)
    answers = [averaged_logits(network, turn(images), views) for turn in VIEWS[views]]
    for answer in answers[1:]:
        torch.testing.assert_close(answer, answers[0])


def test_the_average_is_of_log_probabilities():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    images = torch.randn(5, 3, 2, 2)
    expected = sum(network(turn(images)).log_softmax(1) for turn in VIEWS["flips"]) / 4
    torch.testing.assert_close(averaged_logits(network, images, "flips"), expected)


def test_without_views_the_logits_are_the_networks_own():
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(averaged_logits(torch.nn.Flatten(), images, "none"), images.flatten(1))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(DermaSenseError, match="did you mean 'dihedral'"):
        check_views("dihedral8")
