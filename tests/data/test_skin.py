"""Skin and lesion apart, the tone of the skin, and another tone for it."""

import numpy as np
import pytest
from PIL import Image

from dermasense.data.skin import Tone, segment, shifted, to_lab, to_rgb, tone_of
from dermasense.data.sources.synthetic import catalog, mask_path
from dermasense.data.tone_augment import tone
from dermasense.errors import DermaSenseError

LIGHT, DARK, LESION, GREEN = (230, 190, 165), (110, 75, 55), (70, 35, 30), (20, 140, 90)


def picture(skin=LIGHT, lesion=LESION, side=64) -> np.ndarray:
    """A disc of a lesion on skin, a green cloth below."""
    image = np.tile(np.array(skin, np.uint8), (side, side, 1))
    y, x = np.mgrid[:side, :side]
    image[(x - side // 2) ** 2 + (y - side // 3) ** 2 < (side // 6) ** 2] = lesion
    image[-side // 4 :] = GREEN
    return image


def test_lab_is_that_of_scikit_image_and_back():
    rgb2lab = pytest.importorskip("skimage.color").rgb2lab
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert to_lab(image) == pytest.approx(rgb2lab(image), abs=0.4)
    assert np.abs(to_rgb(to_lab(image)).astype(int) - image).max() <= 1


@pytest.mark.parametrize("skin", [LIGHT, DARK])
def test_lesion_and_cloth_are_no_skin(skin):
    image = picture(skin)
    found, lesion = segment(image)
    assert lesion[64 // 3, 32] and not found[64 // 3, 32]
    assert found[5, 5] and not found[-4, 5] and not lesion[-4, 5]


def test_skin_alone_has_no_lesion_and_a_grey_picture_has_no_skin():
    found, lesion = segment(np.tile(np.array(LIGHT, np.uint8), (32, 32, 1)))
    assert found.all() and not lesion.any()
    grey = np.full((32, 32, 3), 128, np.uint8)
    assert not segment(grey)[0].any() and tone_of(grey) is None


def test_ita_of_known_colours():
    assert Tone(75.0, 25.0).ita == pytest.approx(45.0)
    assert Tone(50.0, 10.0).ita == 0
    assert tone_of(picture(LIGHT)).ita > 40 > 0 > tone_of(picture(DARK)).ita


def test_a_shift_moves_the_tone_by_as_much_and_leaves_the_rest():
    image = picture(side=128)
    skin = segment(image)[0]
    moved = shifted(image, -20.0, 4.0, skin)
    before, after = tone_of(image, skin), tone_of(moved, skin)
    assert after.lightness - before.lightness == pytest.approx(-20, abs=0.7)
    assert after.yellowness - before.yellowness == pytest.approx(4, abs=0.7)
    centre = (128 // 3, 64)
    assert np.abs(moved[centre].astype(int) - image[centre]).max() <= 2
    assert np.abs(shifted(image, 0, 0).astype(int) - image).max() <= 1
    assert np.abs(shifted(image, -20, 0)[centre].astype(int) - image[centre]).max() > 5


def test_lesions_of_synthetic_pictures_are_found(tmp_path):
    """The figure of docs/fairness.md, on fewer pictures; the truth is the painter's own mask."""
    frame = catalog(root=str(tmp_path), n_lesions=30, image_px=96, masks=True).frame
    overlap = []
    for path in frame["path"]:
        truth = np.asarray(Image.open(mask_path(path))) > 127
        lesion = segment(np.asarray(Image.open(path)))[1]
        overlap.append((truth & lesion).sum() / max((truth | lesion).sum(), 1))
    assert np.median(overlap) > 0.6


class TestToneAugmentation:
    def test_same_seed_same_picture_and_seeds_differ(self):
        augment, image = tone(64), picture()
        assert np.array_equal(augment(image, 3), augment(image, 3))
        assert not np.array_equal(augment(image, 3), augment(image, 4))

    def test_the_tone_spreads_as_far_as_asked(self):
        plain = np.tile(np.array(LIGHT, np.uint8), (32, 32, 1))
        augment = tone(32, brightness=0, contrast=0, lightness=10, yellowness=5, share=1.0)
        values = np.array([to_lab(augment(plain, seed))[16, 16] for seed in range(200)])
        spread = values - to_lab(plain)[16, 16]
        assert np.abs(spread[:, 0]).max() < 10.5 and spread[:, 0].std() == pytest.approx(5.8, abs=1)
        assert np.abs(spread[:, 2]).max() < 6 and spread[:, 2].std() == pytest.approx(2.9, abs=0.6)

    def test_the_cache_sees_other_options(self):
        assert tone(32).description != tone(32, lightness=5).description

    @pytest.mark.parametrize(
        ("option", "words"),
        [({"where": "lesion"}, "augment.where=lesion"), ({"share": 2}, "augment.share=2")],
    )
    def test_mistakes_are_a_sentence(self, option, words):
        with pytest.raises(DermaSenseError, match=words):
            tone(32, **option)
