"""Maps of a network whose reasons are known: they point there, and nothing is left behind."""

import gc

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

from dermasense.data.lesion_painter import paint
from dermasense.data.lesion_population import draw_population
from dermasense.errors import DermaSenseError
from dermasense.inference.explaining import METHODS, QUICK, attribution, scaled
from dermasense.inference.explaining.cam import before_last_stage, channels_first
from dermasense.inference.explaining.integrated_gradients import BASELINES, attributions
from dermasense.models.classifier import build_classifier
from tests.inference.explaining.coloured import NAMES, SIDE, network, picture

OF_THE_CLASS = [method for method in METHODS if method != "eigencam"]


@pytest.fixture(scope="module")
def known():
    return network()[0].requires_grad_(False)


@pytest.fixture(scope="module")
def pixels():
    return picture(SIDE, SIDE, red=(4, 6), green=(26, 24))


@pytest.fixture(scope="module")
def lite():
    torch.manual_seed(0)
    made, _, _ = build_classifier(
        backbone="tf_efficientnet_lite0", num_classes=3, head={"name": "se_mlp"}, image_size=64
    )
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("method", OF_THE_CLASS)
@pytest.mark.parametrize(("name", "corner"), [("red", (4, 6)), ("green", (26, 24))])
def test_the_peak_lies_in_what_speaks_for_the_class(known, pixels, method, name, corner):
    found = attribution(known, pixels, NAMES.index(name), method)
    assert found.shape == (SIDE, SIDE) and found.min() >= 0 and found.max() == 1
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert corner[0] <= x < corner[0] + 20 and corner[1] <= y < corner[1] + 20
    left, top = corner
    assert found[top : top + 20, left : left + 20].sum() > 0.6 * found.sum()


def test_eigencam_does_not_ask_for_which_class(known, pixels):
    red, green = (attribution(known, pixels, target, "eigencam") for target in (0, 1))
    assert np.array_equal(red, green) and red.max() == 1


@pytest.fixture(scope="module")
def trained():
    """A backbone that has learnt, and the same with weights drawn anew."""
    options = {"num_classes": 3, "head": {"name": "linear"}, "image_size": 128}
    pair = []
    for weights in ("package", "none"):
        torch.manual_seed(0)
        made, _, _ = build_classifier(backbone="tf_efficientnet_lite0", weights=weights, **options)
        pair.append(made.eval().requires_grad_(False))
    return pair


@pytest.mark.parametrize("method", METHODS)
def test_other_weights_give_another_map(trained, method):
    alike = []  # Adebayo et al. 2018
    for person in draw_population(seed=1, n_lesions=8)[: 8 if method in QUICK else 2]:
        drawn = Image.fromarray(paint(person.lesion, person.views[0], 128)[0])
        image = np.asarray(drawn.resize((128, 128)))
        own, other = (attribution(network, image, 0, method) for network in trained)
        flat = not (np.ptp(own) and np.ptp(other))
        alike.append(0.0 if flat else spearmanr(own.ravel(), other.ravel()).statistic)
    assert abs(np.mean(alike)) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_a_black_and_a_plain_picture_give_numbers(lite, method):
    for value in (0, 128, 255):
        plain = np.full((64, 64, 3), value, np.uint8)
        found = attribution(lite, plain, 0, method)
        assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize("method", METHODS)
def test_a_frozen_network_is_explained_under_no_grad_and_left_as_it_was(lite, method):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    plain = attribution(lite, image, 1, method)
    with torch.no_grad():
        assert np.array_equal(attribution(lite, image, 1, method), plain)
    with torch.inference_mode():
        assert np.array_equal(attribution(lite, image, 1, method), plain)
    assert all(p.grad is None and not p.requires_grad for p in lite.parameters())
    assert not lite.training and not _hooks(lite)


@pytest.mark.parametrize("method", QUICK)
def test_three_hundred_calls_leave_no_hook_and_no_memory(known, pixels, method):
    def calls(n: int) -> tuple[int, int]:
        for _ in range(n):
            attribution(known, pixels, 0, method)
        gc.collect()
        tensors = sum(1 for each in gc.get_objects() if type(each) is torch.Tensor)
        return tensors, psutil.Process().memory_info().rss

    before, rss = calls(20)
    after, grown = calls(300)
    assert after == before and _hooks(known) == 0
    assert grown - rss < 8 * 2**20


@pytest.mark.parametrize("method", QUICK)
def test_a_cam_of_a_map_of_one_place_is_refused_and_not_empty(lite, method):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with pytest.raises(DermaSenseError, match=r"At 32 px .* has 1 x 1 places.*method=occlusion"):
        attribution(lite, image, 0, method)


def test_grad_cam_is_its_formula(lite):
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    boundary = before_last_stage(lite)
    assert boundary == "blocks.5.3"
    images = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    activation = lite.prefix(images, boundary).requires_grad_(True)
    (gradient,) = torch.autograd.grad(lite.suffix(activation, boundary)[0, 2], activation)
    weights = gradient.mean((2, 3), keepdim=True)  # Selvaraju et al. 2017, eq. 1 and 2
    expected = scaled((weights * activation).sum(1)[0].detach().numpy())
    import cv2

    expected = scaled(cv2.resize(expected, (64, 64)))
    found = attribution(lite, image, 2, "gradcam")
    # The library takes the least value of the map away before it divides by the largest.
    assert spearmanr(found.ravel(), expected.ravel()).statistic > 0.999
    assert np.abs(found - expected).max() < 0.35


def test_integrated_gradients_add_up_to_the_gain_of_the_logit(known, pixels):
    images = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())
    total = float(attributions(known, images, 0).sum())
    with torch.no_grad():
        own = float(known(images)[0, 0])
        plain = [float(known(torch.full_like(images, int(b)))[0, 0]) for b in BASELINES]
    assert own > 0.1 and total == pytest.approx(own - np.mean(plain), rel=0.02)


def test_tokens_and_channels_last_become_maps():
    class Tokens:
        num_prefix_tokens = 1

    class Last:
        output_fmt = "NHWC"

    values = torch.arange(2 * 9 * 4.0).view(2, 3, 3, 4)
    tokens = torch.cat([torch.zeros(2, 1, 4), values.view(2, 9, 4)], 1)
    expected = values.permute(0, 3, 1, 2)
    assert torch.equal(channels_first(tokens, Tokens()), expected)
    assert torch.equal(channels_first(values, Last()), expected)
    assert torch.equal(channels_first(expected, object()), expected)


def test_a_mistyped_method_is_named(known, pixels):
    with pytest.raises(DermaSenseError, match="method=gradcan is unknown; did you mean 'gradcam"):
        attribution(known, pixels, 0, "gradcan")


def _hooks(network) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in kinds)
