"""Spoilt pictures on their way to the model: same door, same draws, each picture read once."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermasense.data.corruptions import CORRUPTIONS
from dermasense.data.occlusions import OCCLUSIONS
from dermasense.data.preprocess import InputSpec, UnreadableImage, read_rgb, resize_rgb
from dermasense.inference.mask_quality import mask_quality
from dermasense.inference.stress import CLEAN, MOST, answer, conditions


class Recorder:
    """In the place of a predictor: its logits are mean colours, and it keeps what it was shown."""

    spec = InputSpec(24, "squash", (0.5,) * 3, (0.5,) * 3)
    class_names = ("r", "g", "b")

    def __init__(self):
        self.shown = []

    def logits(self, images):
        self.shown += images
        return np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)


@pytest.fixture
def frame(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for place in range(35):  # more than a chunk
        path = tmp_path / f"{place}.png"
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
        paths.append(str(path))
    return pd.DataFrame({"image_id": [f"i{i}" for i in range(35)], "path": paths})


def test_all_conditions_are_asked_for_every_picture(frame):
    asked = conditions(tuple(CORRUPTIONS), True)
    assert len(asked) == 1 + 5 * len(CORRUPTIONS) + len(OCCLUSIONS)
    assert len({each.key for each in asked}) == len(asked)
    found = answer(Recorder(), frame, asked)
    assert set(found.logits) == {each.key for each in asked}
    assert all(each.shape == (35, 3) for each in found.logits.values())
    assert len(found.found) == 35 and found.kept.all()


def test_clean_pictures_go_through_the_one_door(frame):
    recorder = Recorder()
    found = answer(recorder, frame, conditions((), False))
    pixels = [resize_rgb(read_rgb(path), recorder.spec) for path in frame["path"]]
    np.testing.assert_array_equal(recorder.shown, pixels)
    np.testing.assert_allclose(found.logits[CLEAN], Recorder().logits(pixels))


def test_draws_depend_on_picture_and_seed_not_on_order_or_company(frame):
    asked = conditions(("hair", "colour_cast"), False)
    whole = answer(Recorder(), frame, asked, seed=3).logits
    turned = answer(Recorder(), frame[::-1], conditions(("colour_cast",), False), seed=3).logits
    np.testing.assert_array_equal(whole["colour_cast_4"], turned["colour_cast_4"][::-1])
    other = answer(Recorder(), frame, asked, seed=4).logits
    assert np.abs(whole["hair_5"] - other["hair_5"]).max() > 0


def test_a_broken_picture_is_named_or_left_out(frame, tmp_path):
    (tmp_path / "3.png").write_bytes(b"no picture")
    asked = conditions(("jpeg",), True)
    with pytest.raises(UnreadableImage, match=r"3\.png"):
        answer(Recorder(), frame, asked)
    found = answer(Recorder(), frame, asked, skip=True)
    assert found.kept.tolist() == [i != 3 for i in range(35)]
    assert len(found.logits["jpeg_1"]) == len(found.found) == 34 and "3.png" in found.unreadable[0]


def test_large_pictures_are_reduced_before_they_are_spoilt(tmp_path):
    path = tmp_path / "large.png"
    Image.new("RGB", (1600, 1200), (200, 150, 130)).save(path)
    frame = pd.DataFrame({"image_id": ["a"], "path": [str(path)]})
    sizes = []

    def spy(image, strength, rng):
        sizes.append(image.shape)
        return image

    before = CORRUPTIONS["blur"]
    CORRUPTIONS["blur"] = spy
    try:
        answer(Recorder(), frame, conditions(("blur",), False))
    finally:
        CORRUPTIONS["blur"] = before
    assert set(sizes) == {(MOST, 600, 3)}


def test_quality_of_the_segmentation_is_measured_on_known_places():
    found = mask_quality(n=20)
    assert found["n"] == 20 and 0.8 < found["iou"]["low"] < found["iou"]["value"] <= 1
    assert found["covered"]["value"] > 0.95 and found == mask_quality(n=20)
