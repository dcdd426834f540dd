"""An ensemble answers through the same doors as one bundle."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import log_softmax, logsumexp

from dermasense.data.preprocess import InputSpec
from dermasense.errors import DermaSenseError
from dermasense.files import read_json, write_json
from dermasense.inference.ensemble import EnsemblePredictor
from dermasense.inference.ensemble_writing import save_ensemble
from dermasense.inference.model import load
from dermasense.inference.predictor import Predictor
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import assemble
from dermasense.models.weight_files import sha256
from tests.fakes import stub_backbone
from tests.inference.tiny_bundle import NAMES, edit, pictures


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)


def bundle(folder, names=NAMES, side=32, seed=0, mean=0.5):
    torch.manual_seed(seed)
    spec = InputSpec(side, "squash", (mean,) * 3, (0.5,) * 3, interpolation="lanczos")
    recipe = {"backbone": "tf_efficientnet_lite0", "num_classes": len(names)}
    recipe["head"] = {"name": "linear", "dropout": 0.2}
    classifier = assemble(stub_backbone(recipe["backbone"]), recipe, spec)
    with torch.no_grad():
        classifier.head.get_parameter("classifier.weight").mul_(40)
    return save_bundle(folder, classifier.eval(), spec, names, {"licence": "none"})


@pytest.fixture
def members(tmp_path):
    """Two bundles: another order of classes, another size, another normalisation."""
    first = bundle(tmp_path / "a", seed=0)
    turned = (*NAMES[1:], NAMES[0])  # unlike a reversal, not its own inverse
    second = bundle(tmp_path / "b", names=turned, side=24, seed=1, mean=0.4)
    return [("a", first, 0.7), ("b / 2", second, 0.3)]


def picture(seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))


@pytest.mark.parametrize("average", ["probability", "log"])
def test_it_is_the_weighted_average_of_its_members_by_class_name(members, tmp_path, average):
    folder = save_ensemble(tmp_path / "both", members, average=average)
    both, one, two = (Predictor.of(p) for p in (folder, members[0][1], members[1][1]))
    assert both.class_names == NAMES and isinstance(both, EnsemblePredictor)
    seen = [picture(n) for n in range(5)]
    logits = both.logits([both.pixels(each) for each in seen])
    first = log_softmax(one.logits([one.pixels(each) for each in seen]), axis=1)
    second = log_softmax(two.logits([two.pixels(each) for each in seen]), axis=1)
    second = np.roll(second, 1, axis=1)  # their last class is our first
    if average == "log":
        known = log_softmax(0.7 * first + 0.3 * second, axis=1)
    else:
        known = logsumexp([first, second], b=np.array([0.7, 0.3])[:, None, None], axis=0)
    np.testing.assert_allclose(logits, known, atol=1e-5)
    np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, atol=1e-5)
    again, embedded = both.logits_and_embeddings([both.pixels(each) for each in seen])
    np.testing.assert_allclose(again, logits, atol=1e-5)
    np.testing.assert_allclose(embedded, both.embeddings([both.pixels(each) for each in seen]))
    assert embedded.shape == (5, 8)
    assert both.logits([]).shape == (0, 3)


def test_it_loads_calibrates_and_answers_like_one_bundle(members, tmp_path):
    save_ensemble(tmp_path / "run" / "bundle", members, average="probability", info={"note": "n"})
    model = load(tmp_path / "run")
    answer = model.predict(picture())
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert model.info["note"] == "n" and model.info["temperature"] == 1.0
    path = tmp_path / "run" / "bundle" / "model.json"
    write_json(path, read_json(path) | {"temperature": 4.0})  # what a calibration writes
    softer = load(tmp_path / "run").predict(picture())
    assert max(softer.probabilities.values()) < max(answer.probabilities.values())
    assert softer.logits == answer.logits


def test_members_of_one_input_take_arrays_of_pixels(tmp_path):
    parts = [(str(n), bundle(tmp_path / str(n), seed=n, mean=0.5 - n / 10), 1.0) for n in range(2)]
    both = Predictor.of(save_ensemble(tmp_path / "both", parts, average="log"))
    assert both.logits(pictures(4)).shape == (4, 3)
    assert type(both.pixels(picture())) is np.ndarray


def test_a_member_of_no_weight_is_left_out(members, tmp_path):
    folder = save_ensemble(
        tmp_path / "x", [members[0], (*members[1][:2], 0.0)], average="probability"
    )
    assert len(Predictor.of(folder).members) == 1
    assert len(list((folder / "members").iterdir())) == 1


def test_pixels_of_one_input_are_refused_where_members_have_two(members, tmp_path):
    both = Predictor.of(save_ensemble(tmp_path / "both", members, average="log"))
    with pytest.raises(DermaSenseError, match="make them with its own pixels"):
        both.logits(pictures(2))
    with pytest.raises(DermaSenseError, match="make them with its own pixels"):
        both.logits([both.pixels(picture())[::-1]])  # turned: its other inputs no longer belong
    with pytest.raises(DermaSenseError, match="several inputs"):
        both.stored(["x.png"], tmp_path)
    with pytest.raises(DermaSenseError, match="no single network"):
        _ = both.bundle.classifier


def edited(folder, **changes):
    path = folder / "ensemble.json"
    write_json(path, read_json(path) | changes)


def _swap(folder):
    one, two = sorted((folder / "members").iterdir())
    shutil.copytree(two, one, dirs_exist_ok=True)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: edited(f, average="log"), "its sha256 is not the one in model.json"),
        (_swap, "is not the member that the ensemble was made with"),
        (lambda f: (f / "model.json").unlink(), "model.json: no such file"),
        (lambda f: shutil.rmtree(f / "members" / "0_a"), "no such file"),
    ],
)
def test_a_damaged_ensemble_is_named(members, tmp_path, damage, words):
    folder = save_ensemble(tmp_path / "both", members, average="probability")
    damage(folder)
    with pytest.raises(DermaSenseError, match=words):
        Predictor.of(folder)


ROW = {"weight": 1.0, "sha256": "x"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"members": [{"folder": "../a", **ROW}]}, "lies outside the ensemble"),
        ({"members": [{"folder": "/a", **ROW}]}, "lies outside the ensemble"),
        ({"members": []}, "names no members"),
        ({"members": [{"folder": 5, **ROW}]}, "names no members"),
        ({"members": [{"folder": "members/0_a"}]}, "names no members"),
        ({"average": "mean"}, "average is 'mean'"),
    ],
)
def test_what_ensemble_json_must_not_say(members, tmp_path, changes, words):
    folder = save_ensemble(tmp_path / "both", members, average="log")
    edited(folder, **changes)
    path = folder / "model.json"
    write_json(path, read_json(path) | {"sha256": sha256(folder / "ensemble.json")})
    with pytest.raises(DermaSenseError, match=words):
        Predictor.of(folder)


def test_an_input_that_is_not_the_first_members_is_refused(members, tmp_path):
    path = save_ensemble(tmp_path / "both", members, average="log") / "model.json"
    said = read_json(path)
    write_json(path, said | {"input": said["input"] | {"image_size": 24}})
    with pytest.raises(DermaSenseError, match="not that of the first member"):
        Predictor.of(path.parent)


def test_members_of_other_classes_are_refused(members, tmp_path):
    other = bundle(tmp_path / "c", names=("mel", "nv", "df"))
    with pytest.raises(DermaSenseError, match="members must know the same classes"):
        save_ensemble(tmp_path / "x", [members[0], ("c", other, 1.0)], average="log")
    assert not (tmp_path / "x" / "model.json").exists()


def test_each_member_answers_from_its_own_views(members, tmp_path, caplog):
    edit(members[0][1], tta={"views": "flips", "average": "log"})
    folder = save_ensemble(tmp_path / "both", members, average="log")
    own = load(folder, engine="torch").predictor
    assert [member.views for member in own.members] == ["flips", "none"]
    assert own.views == "flips, none" and not caplog.messages
    asked = load(folder, engine="torch", tta="none").predictor
    assert {member.views for member in asked.members} == {"none"}
    assert "not what the bundle was tested with, tta.views=flips" in caplog.messages[0]
