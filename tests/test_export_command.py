"""The export command: what it writes answers as the bundle does, through the same `load`."""

import copy
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dermasense import export, load
from dermasense.data.preprocess import InputSpec
from dermasense.errors import DermaSenseError
from dermasense.inference.ensemble_writing import save_ensemble
from dermasense.inference.exporting import _Answering
from dermasense.inference.novelty import Novelty
from dermasense.inference.parity import compared, reference
from dermasense.models.bundle import load_bundle, save_bundle
from dermasense.models.classifier import assemble
from dermasense.models.weight_files import sha256
from tests.fakes import stub_backbone
from tests.inference.test_preprocessing_steps import by_the_description
from tests.inference.tiny_bundle import NAMES, decided, edit, pictures, tiny_bundle

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


@pytest.fixture
def command(run_command, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    monkeypatch.setattr("dermasense.inference.parity._SECONDS", 0.01)
    return functools.partial(run_command, export)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    folder = tiny_bundle(tmp_path / "bundle", temperature=1.5, licence="CC0 1.0")
    edit(folder, decision=decided(lac=0.7, referral=0.6))
    model = load(folder, engine="torch")
    Novelty.fit(model.predictor.embeddings(pictures(60, seed=3))).save(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    for number, pixels in enumerate(pictures(40, seed=5)):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).resize((50, 40)).save(path)
    return path.parent


def test_every_variant_is_written_compared_and_loaded(command, bundle, photos, tmp_path):
    out = tmp_path / "out"
    code, printed, err = command(
        f"bundle={bundle}", f"out={out}", f"images={photos}", "variants=fp32,fp16,int8"
    )
    assert code == 0, err
    said = json.loads((out / "export.json").read_text())
    rows = {row["name"]: row for row in said["rows"]}
    assert list(rows) == ["bundle (torch)", "onnx_fp32", "onnx_fp16", "onnx_int8"]
    assert rows["onnx_fp32"]["max_probability_difference"] < 1e-5
    for changed in ("answers", "sets", "decisions", "warnings"):
        assert rows["onnx_fp32"][f"changed_{changed}"] == 0
    assert rows["onnx_fp16"]["max_probability_difference"] < 0.02
    assert rows["onnx_int8"]["max_probability_difference"] < 0.3
    assert all(row["n"] == 20 and row["images_per_second_1"] > 0 for row in rows.values())
    assert "onnx_int8" in printed and "not a medical device" in printed
    expected = load(bundle, engine="torch").predict(pictures(3))
    for name, atol in (("onnx_fp32", 1e-5), ("onnx_fp16", 0.02), ("onnx_int8", 0.3)):
        model = load(out / name, batch_size=2)
        found = model.predict(pictures(3))
        for ours, theirs in zip(expected, found, strict=True):
            assert theirs.probabilities == pytest.approx(ours.probabilities, abs=atol)
            assert theirs.distance is not None and theirs.prediction_set is not None
        assert model.info["licence"] == "CC0 1.0" and model.class_names == NAMES


COST = {"name": "cost", "class_names": NAMES, "malignant": ("mel",), "missed": 3.0}
COST |= {"mistake": 1.0, "matrix": None, "costs": ((0.0, 3.0, 3.0), (1.0, 0, 1), (1, 1, 0))}
LAC = {"name": "lac", "class_names": NAMES, "alpha": 0.1, "threshold": 0.7, "n": 50}
REFERRAL = {"name": "referral", "class_names": NAMES, "accuracy": 0.9, "share": None, "n": 50}


def test_a_variant_is_judged_by_all_that_the_bundle_says(command, bundle, tmp_path, monkeypatch):
    edit(bundle, decision=[COST, LAC, REFERRAL | {"threshold": 0.45}])
    ours = load_bundle(bundle)
    other = copy.deepcopy(ours.classifier)
    with torch.no_grad():
        other.head.get_parameter("classifier.weight").mul_(0.2)
        other.backbone.conv.weight[0].mul_(1.5)
    save_bundle(tmp_path / "b", other, ours.spec, NAMES, ours.info)
    shutil.copy(bundle / "ood.safetensors", tmp_path / "b")
    assert command(f"bundle={tmp_path / 'b'}", f"out={tmp_path / 'out'}")[0] == 0
    monkeypatch.setattr("timm.create_model", stub_backbone)
    pixels = list(pictures(60, seed=7))
    found = compared(tmp_path / "out" / "onnx_fp32", pixels, reference(bundle, pixels))
    one, two = (load(each).predict(pixels) for each in (bundle, tmp_path / "b"))
    pairs = list(zip(one, two, strict=True))
    assert found["changed_answers"] == sum(a.answer != b.answer for a, b in pairs)
    usual = sum(a.top(1)[0][0] != b.top(1)[0][0] for a, b in pairs)
    assert found["changed_answers"] != usual
    changed = sum(set(a.prediction_set) != set(b.prediction_set) for a, b in pairs)
    assert found["changed_sets"] == changed > 0
    assert found["changed_decisions"] == sum(a.refer != b.refer for a, b in pairs) > 0
    assert found["changed_warnings"] == sum((a.distance > 1) != (b.distance > 1) for a, b in pairs)
    assert found["changed_warnings"] > 0
    worst = max(
        abs(a.probabilities[name] - b.probabilities[name]) for a, b in pairs for name in NAMES
    )
    assert found["max_probability_difference"] == pytest.approx(worst, abs=1e-5)


@pytest.mark.parametrize("format", ["onnx", "exported_program"])
def test_a_bundle_of_several_views_is_compared_over_them_and_said_to_be_one(
    command, bundle, tmp_path, format
):
    edit(bundle, tta={"views": "crops", "average": "log"})
    code, printed, err = command(f"bundle={bundle}", f"out={tmp_path / 'out'}", f"format={format}")
    assert code == 0, err
    said = json.loads((tmp_path / "out" / "export.json").read_text())["rows"][1]
    assert said["max_probability_difference"] < 1e-5 and said["changed_warnings"] == 0
    assert "tta.views=crops" in printed and "from one view" in printed
    described = json.loads((tmp_path / "out" / f"{format}_fp32" / "model.json").read_text())
    assert "averaged over the views of tta" in described["probabilities"]


def test_the_same_export_twice_gives_the_same_bytes(command, bundle, tmp_path):
    for name in ("a", "b"):
        assert command(f"bundle={bundle}", f"out={tmp_path / name}")[0] == 0
    for file in ("model.onnx", "model.json", "ood.safetensors"):
        both = [(tmp_path / name / "onnx_fp32" / file).read_bytes() for name in ("a", "b")]
        assert both[0] == both[1]


def test_another_language_needs_model_json_and_the_graph_only(command, bundle, photos, tmp_path):
    out = tmp_path / "out"
    command(f"bundle={bundle}", f"out={out}")
    said = json.loads((out / "onnx_fp32" / "model.json").read_text())
    assert said["opset"] == 17
    rgb = np.asarray(Image.open(photos / "7.png").convert("RGB"))
    pixels = by_the_description(rgb, said["preprocessing"])
    session = ort.InferenceSession(out / "onnx_fp32" / "model.onnx")
    batch = pixels.transpose(2, 0, 1)[None]
    logits = session.run(["logits"], {said["graph_input"]["name"]: batch})[0][0]
    scaled = np.exp((logits - logits.max()) / said["temperature"])
    theirs = dict(zip(said["class_names"], scaled / scaled.sum(), strict=True))
    ours = load(bundle, engine="torch").predict(photos / "7.png").probabilities
    assert theirs == pytest.approx(ours, abs=1e-5)


def test_an_exported_model_cannot_be_tampered_with(command, bundle, tmp_path):
    command(f"bundle={bundle}", f"out={tmp_path}")
    folder = tmp_path / "onnx_fp32"
    edit(folder, class_names=list(NAMES[::-1]))
    with pytest.raises(DermaSenseError, match="class_names is"):
        load(folder)
    edit(folder, class_names=list(NAMES))
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DermaSenseError, match="sha256"):
        load(folder)
    edit(folder, sha256=sha256(path))
    path.write_bytes(b"pickle")
    edit(folder, sha256=sha256(path))
    with pytest.raises(DermaSenseError, match="not an ONNX model") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_an_exported_program_answers_the_same_and_is_not_unpickled_by_load(
    command, bundle, tmp_path
):
    code, _, err = command(f"bundle={bundle}", f"out={tmp_path}", "format=exported_program")
    assert code == 0, err
    row = json.loads((tmp_path / "export.json").read_text())["rows"][1]
    assert row["name"] == "exported_program_fp32" and row["max_probability_difference"] < 1e-5
    module = torch.export.load(tmp_path / "exported_program_fp32" / "model.pt2").module()
    x = torch.from_numpy(pictures(5)).permute(0, 3, 1, 2)
    expected = load(bundle, engine="torch").predictor.bundle.classifier(x)
    for batch in (1, 5):
        torch.testing.assert_close(module(x[:batch])[0], expected[:batch], atol=1e-5, rtol=0)
    with pytest.raises(DermaSenseError, match="may hold pickled code"):
        load(tmp_path / "exported_program_fp32")


def test_a_head_with_dropout_and_batch_norm_is_exported_in_evaluation_mode(
    command, tmp_path, monkeypatch
):
    """The exporter restores a wrapper's training flag recursively: the network must not drop."""
    monkeypatch.setattr("timm.create_model", stub_backbone)
    torch.manual_seed(0)
    head = {"name": "se_mlp", "reduction": 2, "hidden": [8, 8], "dropout": [0.9, 0.9, 0.9]}
    recipe = {"backbone": "tf_efficientnet_lite0", "head": head, "num_classes": 3}
    spec = InputSpec(32, "squash", (0.5,) * 3, (0.5,) * 3)
    classifier = assemble(stub_backbone(""), recipe, spec).train()
    folder = save_bundle(tmp_path / "b", classifier, spec, NAMES)
    assert command(f"bundle={folder}", f"out={tmp_path / 'o'}")[0] == 0
    row = json.loads((tmp_path / "o" / "export.json").read_text())["rows"][1]
    assert row["max_probability_difference"] < 1e-5
    assert not any(module.training for module in _Answering(classifier).eval().modules())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["variants=int8"], "needs images="),
        (["format=onxx"], "did you mean 'onnx'"),
        (["variants=fp8"], "variants=fp8 is unknown"),
        (["format=exported_program", "variants=fp16"], "comes in fp32 only"),
        (["images=nowhere"], "no such file"),
        (["calibrate_on=0"], "calibrate_on=0: expected an integer >= 1"),
    ],
)
def test_a_mistake_is_one_sentence(command, bundle, tmp_path, words, said):
    code, _, err = command(f"bundle={bundle}", f"out={tmp_path / 'o'}", *words)
    assert code == 2 and said in err
    assert len(err.strip().splitlines()) == 1 and err.startswith("error: ")


@pytest.mark.parametrize(
    ("name", "out"), [("shipped", "shipped"), ("hf://owner/name@v1.0", "owner_name_v1.0")]
)
def test_what_lies_in_the_package_or_a_cache_is_not_written_into(
    call_command, bundle, tmp_path, monkeypatch, name, out
):
    monkeypatch.setattr("dermasense.inference.parity._SECONDS", 0.01)
    monkeypatch.setattr("dermasense.models.hub_bundle._PACKAGE", tmp_path / "package")
    monkeypatch.setattr("dermasense.models.hub_bundle._fetched", lambda _: there)
    (tmp_path / "package").mkdir()
    there = bundle.rename(tmp_path / "package" / "shipped")
    monkeypatch.chdir(tmp_path)
    code, printed, err = call_command(export, f"bundle={name}")
    assert code == 0, err
    assert (tmp_path / "outputs" / "exported" / out / "onnx_fp32" / "model.onnx").is_file()
    assert f"outputs/exported/{out}" in printed
    assert [path.name for path in (tmp_path / "package").iterdir()] == ["shipped"]


def test_a_run_has_its_exports_in_it_and_other_bundles_beside_them_by_their_names(command, bundle):
    shutil.copytree(bundle, bundle.parent / "a")
    edit(shutil.copytree(bundle, bundle.parent / "b"), temperature=3.0)
    for name in ("bundle", "a", "b"):
        assert command(f"bundle={bundle.parent / name}")[0] == 0
    told = [
        json.loads((bundle.parent / out / "onnx_fp32" / "model.json").read_text())["temperature"]
        for out in ("exported", "a_exported", "b_exported")
    ]
    assert told == [1.5, 1.5, 3.0]
    assert export._beside(".", Path(".")) == Path.cwd().parent / f"{Path.cwd().name}_exported"


def test_an_ensemble_is_refused_by_its_members(command, bundle, tmp_path):
    members = [(name, bundle, 0.5) for name in "ab"]
    both = save_ensemble(tmp_path / "both", members, average="log")
    code, _, err = command(f"bundle={both}")
    assert code == 2 and err == (
        f"error: {both}: an ensemble is no single network to look into or export; name one of "
        f"{both}/members/*\n"
    )


def test_a_file_in_the_place_of_the_folder_is_one_sentence(
    command, bundle, refuses_a_file_as_folder
):
    refuses_a_file_as_folder(command, "format=exported_program", f"bundle={bundle}")


def test_help_is_there_before_anything_heavy_is_imported():
    probe = (
        "import sys; sys.argv = ['export', '--help']\n"
        "from dermasense import export\n"
        "try: export.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'PIL', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "int8" in done.stdout and "not a medical device" in done.stdout
