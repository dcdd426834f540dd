"""`model.explain`: maps over the picture, for a class by its name, of one model or several."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dermasense import load
from dermasense.data.preprocess import UnreadableImage, resize_rgb
from dermasense.errors import DermaSenseError
from dermasense.inference.ensemble_writing import save_ensemble
from dermasense.inference.explaining import attribution, scaled
from dermasense.inference.explaining.explainer import Explainer, carried
from dermasense.inference.explaining.overlay import TILE, contact_sheet, fitted
from dermasense.inference.exported import ExportedBundle
from dermasense.inference.predictor import Predictor
from dermasense.models.bundle import NoNetwork, save_bundle
from tests.fakes import stub_backbone
from tests.inference.explaining.coloured import NAMES, backbone, bundle, network, picture
from tests.inference.tiny_bundle import tiny_bundle

CLEANS = {"plain": (), "shorn": ("hair",)}


@pytest.fixture(autouse=True)
def stubbed(monkeypatch):
    monkeypatch.setattr("timm.create_model", backbone)


@pytest.fixture
def model(tmp_path):
    return load(bundle(tmp_path / "own"), engine="torch")


def inside(found: np.ndarray, corner: tuple[int, int], side: int = 20) -> float:
    x, y = corner
    return found[y : y + side, x : x + side].sum() / found.sum()


def test_the_map_lies_over_the_picture_whatever_its_shape(model):
    for width, height, red in ((200, 80, (150, 40)), (60, 140, (20, 8)), (96, 72, (10, 12))):
        image = picture(width, height, red=red, green=(0, 50))
        found = model.explain(image, target="red", method="hirescam")
        assert found.map.shape == (height, width) and found.picture.size == (width, height)
        y, x = np.unravel_index(found.map.argmax(), found.map.shape)
        assert red[0] <= x < red[0] + 20 and red[1] <= y < red[1] + 20


def test_what_the_model_is_not_shown_has_no_map(tmp_path):
    cropped = load(bundle(tmp_path / "cropped", resize="crop"), engine="torch")
    wide = picture(160, 60, red=(70, 20), green=(5, 20))  # the square in the middle: 50 to 110
    found = cropped.explain(wide, target="red")
    assert not found.map[:, :50].any() and not found.map[:, 110:].any()
    assert inside(found.map, (70, 20)) > 0.5
    assert cropped.explain(wide, target="green").empty


def test_a_map_lies_over_what_a_crop_of_the_frame_leaves(tmp_path):
    made, spec = network()
    cropping = replace(spec, clean=("frame_crop",))
    save_bundle(tmp_path / "cropping", made, cropping, NAMES, {"training_data": "squares"})
    framed = np.zeros((100, 160, 3), np.uint8)
    framed[:, 32:128] = picture(96, 100, red=(10, 12))
    found = load(tmp_path / "cropping", engine="torch").explain(framed, target="red", side=None)
    assert found.picture.size == (96, 100) and found.map.shape == (100, 96)
    assert inside(found.map, (10, 12)) > 0.5


def test_a_picture_thinner_than_a_pixel_of_its_map_is_explained(tmp_path):
    cropped = load(bundle(tmp_path / "cropped", resize="crop"), engine="torch")
    for pixels in (np.zeros((2, 2000, 3), np.uint8), np.zeros((2000, 2, 3), np.uint8)):
        found = cropped.explain(pixels, target="red")
        assert found.map.shape[0] * found.map.shape[1] > 0 and np.isfinite(found.map).all()


def test_a_turned_photograph_is_explained_upright(model):
    upright = Image.fromarray(picture(96, 72, red=(10, 12)))
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # turned by a quarter to the left
    upright.rotate(90, expand=True).save(buffer, "PNG", exif=exif)
    found = model.explain(buffer.getvalue(), target="red")
    assert found.picture.size == (96, 72) and inside(found.map, (10, 12)) > 0.5


def test_the_class_is_found_by_its_name_whatever_the_order(tmp_path, model):
    turned = load(bundle(tmp_path / "turned", names=NAMES[::-1]), engine="torch")
    for name in ("red", "green"):
        one, other = (
            m.explain(picture(), target=name, method="occlusion") for m in (model, turned)
        )
        np.testing.assert_allclose(one.map, other.map, atol=1e-5)
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
    said = model.explain(picture())
    assert said.target == said.prediction.answer
    assert said.probability == said.prediction.confidence == model.predict(picture()).confidence


def test_an_ensemble_has_the_weighted_mean_of_its_members_maps(tmp_path, model):
    finer = bundle(tmp_path / "finer", side=64, names=NAMES[::-1])
    both = save_ensemble(
        tmp_path / "both", [("a", tmp_path / "own", 0.25), ("b", finer, 0.75)], average="log"
    )
    found = load(both, engine="torch").explain(picture(), target="green")
    a = model.explain(picture(), target="green").map
    b = load(finer, engine="torch").explain(picture(), target="green").map
    mean = 0.25 * a + 0.75 * b
    np.testing.assert_allclose(found.map, mean / mean.max(), atol=1e-5)


def test_the_pixels_are_made_once_a_member_and_are_its_own(tmp_path, model, monkeypatch):
    finer = bundle(tmp_path / "finer", side=64, names=NAMES[::-1])
    rows = [("a", tmp_path / "own", 0.25), ("b", finer, 0.75)]
    both = load(save_ensemble(tmp_path / "both", rows, average="log"), engine="torch")
    total = np.zeros((72, 96), np.float32)
    for each in both.explainer.members:
        place = each.predictor.class_names.index("green")
        pixels = each.predictor.pixels(Image.fromarray(picture()))
        found = attribution(each.network, pixels, place)
        total += each.weight * carried(found, (96, 72), each.predictor.spec)
    made = []

    def counted(image, spec):
        made.append(spec.image_size)
        return resize_rgb(image, spec)

    monkeypatch.setattr("dermasense.inference.predictor.resize_rgb", counted)
    found = both.explain(picture(), target="green")
    assert made == [48, 64] and np.array_equal(found.map, scaled(total))
    model.explain(picture())
    assert made == [48, 64, 48]


def test_a_large_picture_comes_back_small_unless_it_is_asked_for_whole(model):
    image = picture(300, 200)
    assert model.explain(image, side=150).map.shape == (100, 150)
    assert model.explain(image, side=None).map.shape == (200, 300)
    assert model.explain(image, side=900).picture.size == (300, 200)


def test_an_exported_model_is_refused_in_a_sentence(model, tmp_path):
    exported = ExportedBundle(tmp_path / "model.onnx", model.spec, NAMES, {"temperature": 1.0}, "x")
    with pytest.raises(NoNetwork, match="holds no network to look into; name the bundle"):
        Explainer.of(Predictor(exported))


def test_mistakes_are_sentences(model, tmp_path):
    with pytest.raises(DermaSenseError, match="target=gren is no class; did you mean 'green'"):
        model.explain(picture(), target="gren")
    with pytest.raises(DermaSenseError, match="method=occlusoin"):
        model.explain(picture(), method="occlusoin")
    with pytest.raises(UnreadableImage, match="not a picture"):
        model.explain(b"no picture")


def test_several_pictures_give_a_list(model):
    found = model.explain([picture(), Image.fromarray(picture(80, 60))])
    assert [each.picture.size for each in found] == [(96, 72), (80, 60)]


def test_it_is_said_in_words_where_the_map_is_strong(model):
    places = {"upper left": (2, 2), "middle": (38, 26), "lower right": (74, 50), "left": (2, 26)}
    for words, corner in places.items():
        found = model.explain(picture(96, 72, red=corner, green=(38, 2)), target="red")
        assert found.where == words and words in found.sentence
    classless = model.explain(picture(), method="eigencam").sentence
    assert "the network saw most" in classless and "speaks" not in classless
    nothing = model.explain(np.full((40, 40, 3), 128, np.uint8), target="red")
    assert nothing.empty and "nothing in the picture" in nothing.sentence


def test_of_two_spots_both_places_are_said_and_not_the_one_between(model):
    found = model.explain(picture(96, 72), target="red")

    def where(*spots: tuple[int, int, float]) -> str:
        drawn = np.zeros((72, 96), np.float32)
        for x, y, value in spots:
            drawn[y : y + 8, x : x + 8] = value
        return replace(found, map=drawn).where

    assert where((4, 4, 1.0), (84, 60, 0.9)) == "upper left and the lower right"
    assert where((4, 4, 0.9), (4, 60, 1.0)) == "lower left and the upper left"
    assert where((4, 4, 1.0), (84, 60, 0.4)) == "upper left"  # weak
    assert where((4, 4, 1.0), (12, 4, 1.0), (84, 60, 0.9)) == "upper left"  # under half of it
    sentence = replace(found, map=np.eye(3, dtype=np.float32)[[0, 2, 2]]).sentence
    assert "lies in the upper left and the right part of the picture" in sentence


def test_where_the_map_is_nought_the_picture_shows_and_its_peak_is_coloured(model):
    found = model.explain(picture(), target="red", method="hirescam")
    plain, warm = np.asarray(found.picture), np.asarray(found.heat())
    assert np.array_equal(warm[found.map == 0], plain[found.map == 0])
    peak = np.unravel_index(found.map.argmax(), found.map.shape)
    assert np.abs(warm[peak].astype(int) - plain[peak]).max() > 60
    sheet = found.overlay()
    assert sheet.width > 2 * 480 and sheet.height > 360
    many = contact_sheet([found] * 5)
    assert many.width > many.height / 2 and many.mode == "RGB"


def test_a_tile_is_called_by_its_place_and_a_long_one_by_its_end(model, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "dermasense.inference.explaining.overlay.ImageDraw.ImageDraw.text",
        lambda self, xy, words, **_: drawn.append(words),
    )
    found = model.explain(picture())
    names = ["b/same.png", "c/same.png", f"{'long/' * 30}d/same.png"]
    contact_sheet([replace(found, image=name) for name in names])
    assert set(names[:2]) <= set(drawn)
    (long,) = [words for words in drawn if words.endswith("d/same.png")]
    assert long.startswith("…") and long[1:] in names[2]


def test_what_speaks_against_the_answer_is_drawn_with_it(model, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "dermasense.inference.explaining.overlay.ImageDraw.ImageDraw.text",
        lambda self, xy, words, **_: drawn.append(words),
    )
    blank = model.explain(np.full((40, 40, 3), 128, np.uint8))
    blank.overlay()
    assert "decision: refer; warning: the picture is (nearly) one colour" in " ".join(drawn)
    drawn.clear()
    contact_sheet([blank, model.explain(picture())])
    assert [words.startswith("refer: the picture is") for words in drawn].count(True) == 1
    drawn.clear()
    model.explain(picture()).overlay()
    assert not any("decision" in words or "warning" in words for words in drawn)


def test_members_that_clean_in_different_ways_are_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    members = [(name, tiny_bundle(tmp_path / name, clean=c), 0.5) for name, c in CLEANS.items()]
    both = load(save_ensemble(tmp_path / "both", members, average="log"), engine="torch")
    with pytest.raises(NoNetwork, match="both: its members clean pictures in different ways"):
        both.explain(picture())


def test_a_tile_of_a_contact_sheet_is_the_same_explanation_made_small(model):
    image = picture(300, 200, red=(200, 100))
    large = model.explain(image, target="red", side=None)
    tile = fitted(large, TILE)
    assert tile.picture.size == (240, 160) and tile.map.shape == (160, 240)
    assert tile.sentence == large.sentence and tile.map.max() > 0.9
    sheets = [np.asarray(contact_sheet([each])) for each in (large, tile)]
    assert np.array_equal(*sheets)  # so that one holds no more than it shows
