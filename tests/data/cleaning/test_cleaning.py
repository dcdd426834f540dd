"""Cleaning: a cast undone, hairs painted over, a frame cropped; clean pictures stay as they are."""

import cv2
import numpy as np
import pytest
from PIL import Image

from dermasense.data import store
from dermasense.data.cleaning import CLEANERS, check_cleaners, cleaned, versions
from dermasense.data.preprocess import InputSpec, read_rgb, resize_rgb
from dermasense.errors import DermaSenseError

SIZE = (150, 200)


def skin(size=SIZE, colour=(200, 200, 200), lesion=(110, 100, 105)) -> np.ndarray:
    """Even skin with a soft round lesion and fine grain."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - height / 2, x - width / 2) < height / 4
    image = np.where(inside[..., None], lesion, colour).astype(np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), height / 40)
    grain = np.random.default_rng(0).integers(-2, 3, (*size, 1))
    return (image + grain).clip(0, 255).astype(np.uint8)


def hairy(image: np.ndarray, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """The picture with dark curved hairs, and where they are."""
    rng = np.random.default_rng(1)
    height, width = image.shape[:2]
    thick = max(1, round(height / 75))
    mask = np.zeros(image.shape[:2], np.uint8)
    for _ in range(count):
        ends = rng.uniform(0, [width, height], (3, 2))
        t = np.linspace(0, 1, 40)[:, None]
        curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
        cv2.polylines(mask, [np.rint(curve).astype(np.int32)], False, 1, thick)
    return np.where(mask[..., None] > 0, np.uint8([45, 35, 30]), image), mask > 0


def framed(image: np.ndarray, radius: float = 0.56) -> np.ndarray:
    """The picture in a black round field; radius as a share of the width."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    outside = np.hypot(y - height / 2, x - width / 2) > radius * width
    return np.where(outside[..., None], np.uint8([6, 5, 8]), image)


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - other.astype(int))


class TestShadesOfGrey:
    def test_a_colour_cast_is_undone(self):
        grey = skin(lesion=(100, 100, 100))
        light = np.array([1.2, 0.9, 0.7])
        cast = np.rint(grey * light).clip(0, 255).astype(np.uint8)
        assert difference(cast, grey).mean() > 20
        undone = cleaned(cast, ["shades_of_grey"]).astype(float)
        assert np.ptp(undone, axis=-1).max() <= 2  # grey again
        brightness = np.linalg.norm(light) / np.sqrt(3)
        assert undone.mean() == pytest.approx(grey.mean() * brightness, rel=0.01)

    def test_two_lights_give_one_picture(self):
        scene = skin(colour=(180, 140, 120), lesion=(90, 60, 50)).astype(float)
        seen = [np.rint(scene * light).astype(np.uint8) for light in ([1.3, 1, 0.8], [0.9, 1, 1.2])]
        one, other = (cleaned(each, ["shades_of_grey"]).astype(float) for each in seen)
        assert difference(*seen).mean() > 25
        ratio = one.mean() / other.mean()  # they differ in brightness alone
        assert np.abs(one - ratio * other).max() <= 4

    def test_without_a_cast_nothing_changes(self):
        grey = skin(lesion=(100, 100, 100))
        assert np.array_equal(cleaned(grey, ["shades_of_grey"]), grey)

    def test_the_light_is_the_minkowski_norm(self):
        image = np.random.default_rng(0).integers(0, 160, (30, 40, 3), dtype=np.uint8)
        light = ((image / 255.0) ** 6).mean((0, 1)) ** (1 / 6)
        expected = image / (light / np.linalg.norm(light) * np.sqrt(3))
        assert difference(cleaned(image, ["shades_of_grey"]), expected).max() <= 1

    def test_a_channel_of_zeros_leaves_the_picture(self):
        for image in (np.zeros((8, 8, 3), np.uint8), skin() * np.uint8([1, 1, 0])):
            assert np.array_equal(cleaned(image, ["shades_of_grey"]), image)


class TestHair:
    @pytest.mark.parametrize("size", [SIZE, (450, 600), (900, 1200)])
    def test_drawn_hairs_are_gone_and_the_rest_is_as_it_was(self, size):
        bare = skin(size)
        with_hair, mask = hairy(bare)
        after = cleaned(with_hair, ["hair"])
        before = difference(with_hair, bare)[mask].mean()
        assert before > 100 and difference(after, bare)[mask].mean() < before / 10
        far = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9)), iterations=size[0] // 150) == 0
        assert np.array_equal(after[far], bare[far])

    def test_a_picture_without_hairs_is_unchanged(self):
        for image in (skin(), skin((450, 600)), framed(skin())):
            assert np.array_equal(cleaned(image, ["hair"]), image)

    def test_dots_and_globules_stay(self):
        image = skin()
        for across in range(20, 190, 25):
            cv2.circle(image, (across, 20), 3, (80, 60, 50), -1)
        assert np.array_equal(cleaned(image, ["hair"]), image)

    def test_a_picture_of_a_few_pixels_is_left(self):
        image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        assert np.array_equal(cleaned(image, ["hair"]), image)


class TestFrameCrop:
    @pytest.mark.parametrize("size", [SIZE, (450, 600), (900, 1200)])
    def test_a_round_frame_is_cropped_about_the_centre(self, size):
        image = framed(skin(size, colour=(190, 150, 140)))
        after = cleaned(image, ["frame_crop"])
        dark = (after.max(axis=-1) < 30).mean()
        assert (image.max(axis=-1) < 30).mean() > 0.02 and dark <= 0.012
        assert 0.6 < after.size / image.size < 0.98
        lesion = np.argwhere(after[..., 1] < 125).mean(axis=0)
        assert lesion == pytest.approx(np.array(after.shape[:2]) / 2, abs=size[0] / 50)

    def test_bars_are_cropped_to_the_pixel(self):
        inner = skin((100, 160))
        image = np.zeros((140, 200, 3), np.uint8)
        image[20:120, 25:185] = inner
        after = cleaned(image, ["frame_crop"])
        assert 98 <= after.shape[0] <= 101 and 157 <= after.shape[1] <= 161

    def test_no_frame_no_crop(self):
        dark_lesion = skin(lesion=(15, 10, 10))
        touching = skin()
        touching[:, :3] = 5  # a sliver, less than what a frame is
        black, noise = np.zeros((40, 50, 3), np.uint8), skin((30, 30))
        for image in (skin(), dark_lesion, touching, black, noise, hairy(skin())[0]):
            assert np.array_equal(cleaned(image, ["frame_crop"]), image)


def test_nothing_changes_what_it_is_given():
    image = framed(hairy(skin(colour=(210, 150, 140)))[0])
    before = image.copy()
    image.flags.writeable = False
    after = cleaned(image, list(CLEANERS))
    assert np.array_equal(image, before) and after.dtype == np.uint8
    assert cleaned(image, []) is image


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3), (33, 4000)])
def test_odd_pictures_pass(size):
    for image in (np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8), skin(size)):
        after = cleaned(image, list(CLEANERS))
        assert after.size and after.dtype == np.uint8


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["hairs"], "clean=hairs is unknown; did you mean 'hair'"),
        (["hair", "hair"], "clean names one twice"),
        ("hair", r"clean=hair: expected a list such as \[hair"),
    ],
)
def test_a_wrong_name_is_one_sentence(names, words):
    with pytest.raises(DermaSenseError, match=words):
        check_cleaners(names)


class TestInTheDoor:
    def spec(self, *clean):
        return InputSpec(32, "squash", (0.5,) * 3, (0.5,) * 3, clean=clean)

    def test_a_picture_is_cleaned_before_it_is_resized(self):
        image = framed(hairy(skin(colour=(210, 150, 140)))[0])
        expected = Image.fromarray(cleaned(image, ["frame_crop", "hair"]))
        found = resize_rgb(Image.fromarray(image), self.spec("frame_crop", "hair"))
        assert np.array_equal(found, resize_rgb(expected, self.spec()))
        assert not np.array_equal(found, resize_rgb(Image.fromarray(image), self.spec()))

    def test_stores_hold_cleaned_pixels_and_are_told_apart(self, tmp_path):
        path = tmp_path / "a.png"
        Image.fromarray(hairy(skin())[0]).save(path)
        made = {}
        for clean in [(), ("hair",), ("hair", "shades_of_grey"), ("shades_of_grey", "hair")]:
            spec = self.spec(*clean)
            made[clean] = store.DecodedStore.open_or_build([str(path)], spec, tmp_path / "cache")
            assert np.array_equal(made[clean].images[0], resize_rgb(read_rgb(path), spec))
        assert len({each.path for each in made.values()}) == 4

    def test_a_store_that_cleans_nothing_keeps_its_name(self):
        assert versions(()) == [] and store._pixel_options(self.spec())[-1] == 50_000_000
        assert "clean" not in self.spec().as_dict()
        assert self.spec("hair").as_dict()["clean"] == ("hair",)
