"""`load` and `predict`: the same answer for a picture in whatever form it comes."""

import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

import dermasense
from dermasense import load
from dermasense.data.preprocess import UnreadableImage, read_rgb
from dermasense.errors import DermaSenseError
from dermasense.inference.novelty import Novelty
from dermasense.inference.pictures import from_array
from dermasense.models.weight_files import sha256
from tests.fakes import stub_backbone
from tests.inference.tiny_bundle import NAMES, decided, edit, pictures, tiny_bundle


@pytest.fixture(autouse=True)
def stubbed(monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)


@pytest.fixture
def folder(tmp_path):
    return tiny_bundle(tmp_path / "run" / "bundle", temperature=2.0)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a b.png"
    Image.fromarray(pictures(1)[0]).resize((50, 40)).save(path)
    return path


def test_one_picture_in_every_form_gives_the_same_answer(folder, image):
    model = load(folder, engine="torch")
    expected = model.predict(str(image))
    opened = Image.open(image)
    forms = [image, image.read_bytes(), opened, np.asarray(opened), io.BytesIO(image.read_bytes())]
    forms.append(np.asarray(opened) / 255)
    for form in forms:
        assert model.predict(form).probabilities == expected.probabilities
    assert expected.image == str(image)
    assert expected.answer in NAMES
    assert expected.confidence == max(expected.probabilities.values())
    opened.load()  # the caller's picture is neither closed nor changed


def test_a_batch_gives_a_list_in_its_order(folder, image):
    model = load(folder, engine="torch", batch_size=2)
    whole = pictures(5)
    alone = [model.predict(one) for one in whole]
    for batch in (whole, list(whole), (one for one in whole)):
        found = model.predict(batch)
        assert [p.answer for p in found] == [p.answer for p in alone]
        np.testing.assert_allclose([p.logits for p in found], [p.logits for p in alone], atol=1e-5)
    assert len({p.answer for p in alone}) > 1
    assert [p.image for p in model.predict([image, whole[0]])] == [str(image), "image 2"]
    assert model.predict([]) == []


def test_probabilities_are_those_of_the_calibrated_logits(folder):
    model = load(folder, engine="torch")
    found = model.predict(pictures(4))
    with torch.inference_mode():
        x = torch.from_numpy(pictures(4)).permute(0, 3, 1, 2)
        logits = model.predictor.bundle.classifier(x).numpy()
    np.testing.assert_allclose([p.logits for p in found], logits, atol=1e-5)
    expected = softmax(logits / 2.0, axis=1)
    np.testing.assert_allclose([list(p.probabilities.values()) for p in found], expected, atol=1e-6)
    assert all(p.prediction_set is None and p.refer is None for p in found)


def test_set_and_referral_come_from_the_bundle(folder):
    edit(folder, decision=decided(lac=0.7, referral=0.6))
    for p in load(folder, engine="torch").predict(pictures(20)):
        members = [name for name, value in p.probabilities.items() if value >= 0.3]
        assert sorted(p.prediction_set) == sorted(members)
        assert p.refer == (p.confidence < 0.6)
        assert p.decision == ("refer" if p.refer else "answer")


def test_every_printed_answer_says_what_it_is(folder, image):
    found = load(folder).predict(image)
    assert "Research software, not a medical device." in str(found)
    assert "not a medical device" in found.as_dict()["disclaimer"]
    assert found.as_json().count("\n") == 0


def test_a_bundle_answers_from_the_views_it_was_tested_with_unless_others_are_asked_for(
    folder, caplog
):
    edit(folder, tta={"views": "crops", "average": "probability"})
    whole, options = pictures(4), {"engine": "torch"}
    own = load(folder, **options).predictor
    assert (own.views, own.average) == ("crops", "probability") and not caplog.messages
    asked = load(folder, tta="crops", **options).predictor.logits(whole)
    assert np.array_equal(own.logits(whole), asked) and not caplog.messages
    one = load(folder, tta="none", **options).predictor.logits(whole)
    (said,) = caplog.messages
    assert np.abs(own.logits(whole) - one).max() > 1e-3
    assert said.startswith("tta.views=none") and "tta.views=crops tta.average=probability" in said


def test_a_bundle_that_tells_of_no_views_answers_from_one_and_keeps_silent(folder, caplog):
    assert load(folder, engine="torch").predictor.views == "none"
    load(folder, engine="torch", tta="flips")
    edit(folder, tta={"views": "none", "average": "log"})
    load(folder, engine="torch", tta="as_is", average="probability")
    assert not caplog.messages


@pytest.mark.parametrize("entry", ["flips", {"views": "flops"}, {"view": "flips"}])
def test_views_that_are_not_understood_are_refused(folder, entry):
    edit(folder, tta=entry)
    with pytest.raises(DermaSenseError, match=r"bundle: tta in model\.json is") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_blank_picture_and_a_strange_one_are_warned_of_and_referred(folder):
    model = load(folder, engine="torch")
    known = pictures(300, seed=1)
    detector = Novelty.fit(model.predictor.embeddings(known))
    detector.save(folder, fitted_on="validation")
    model = load(folder, engine="torch")
    assert np.mean([p.refer is None for p in model.predict(pictures(100, seed=2))]) > 0.9
    strange = np.zeros((32, 32, 3), np.uint8)
    strange[::2, ::2] = 255
    for picture, word in ((np.full((9, 9, 3), 200, np.uint8), "one colour"), (strange, "unlike")):
        found = model.predict(picture)
        assert word in " ".join(found.warnings) and found.refer


def test_a_run_or_bundle_that_moved_still_loads(folder, tmp_path):
    there = tmp_path / "elsewhere"
    folder.parent.rename(there)
    assert load(there).class_names == load(there / "bundle").class_names == NAMES


def test_a_tampered_or_pickled_file_is_refused_in_one_sentence(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DermaSenseError, match="sha256 is not the one") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    torch.save({"a": torch.zeros(1)}, path)
    edit(folder, sha256=sha256(path))
    with pytest.raises(DermaSenseError, match="not a safetensors file"):
        load(folder)


def test_a_changed_detector_is_refused(folder):
    Novelty.fit(np.random.default_rng(0).normal(size=(60, 4))).save(folder)
    (folder / "ood.safetensors").write_bytes(b"x")
    with pytest.raises(DermaSenseError, match=r"ood\.safetensors: its sha256"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [("shipped", "no bundle is shipped"), ("nowhere", "no such file"), ("hf://x", "owner")],
)
def test_a_bundle_that_is_not_there_is_said_so(name, words, monkeypatch, tmp_path):
    monkeypatch.setattr("dermasense.models.hub_bundle._PACKAGE", tmp_path)
    with pytest.raises(DermaSenseError, match=words) as caught:
        load(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 8, 8), np.uint8), "channels last"),
        (np.zeros((8, 8, 3), np.int64), "int64"),
        (np.full((8, 8, 3), 2.0), "0 to 1"),
        (np.full((8, 8, 3), np.nan), "0 to 1"),
        (np.zeros((0, 8, 3), np.uint8), "no picture"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(folder, array, words):
    with pytest.raises(DermaSenseError, match=words):
        load(folder).predict(array)


def test_sixteen_bits_grey_and_transparency_go_through_the_one_door(folder, tmp_path):
    model = load(folder, engine="torch")
    grey = (np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    deep = model.predict([grey, tmp_path / "deep.png"])
    assert deep[0].logits == deep[1].logits
    clear = np.dstack([pictures(1)[0], np.zeros((32, 32), np.uint8)])
    white = np.full((32, 32, 3), 255, np.uint8)
    assert model.predict(clear).logits == pytest.approx(model.predict(white).logits, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "channels"),
    [*((kind, n) for kind in ("png", "tiff") for n in (1, 3, 4)), ("pgm", 1), ("ppm", 3)],
)
def test_sixteen_bits_become_eight_as_model_json_says(kind, channels):
    shape = (40, 30, channels)
    deep = np.random.default_rng(0).integers(0, 2**16, shape, dtype=np.uint16).squeeze()
    if channels == 4:
        deep[..., 3] = 2**16 - 1
    file = cv2.imencode(f".{kind}", deep if channels == 1 else deep[..., [2, 1, 0, 3][:channels]])
    found = np.asarray(read_rgb(file[1].tobytes()))
    whole = deep.astype(int)
    said = (whole + 128) // 257 if channels == 1 or kind == "ppm" else whole // 256
    assert np.array_equal(found, said[..., :3] if channels > 1 else np.dstack([said] * 3))
    if kind != "ppm":
        assert np.array_equal(np.asarray(read_rgb(from_array(deep, "x"))), found)


def test_a_broken_picture_is_named(folder, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=r"broken\.jpg"):
        load(folder).predict([pictures(1)[0], tmp_path / "broken.jpg"])


def test_the_package_imports_without_torch_and_knows_its_names():
    probe = (
        "import sys, dermasense; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert callable(dermasense.load)"
    )
    assert subprocess.run([sys.executable, "-c", probe]).returncode == 0
    with pytest.raises(AttributeError, match="laod"):
        _ = dermasense.laod
