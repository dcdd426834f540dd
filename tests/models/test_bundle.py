"""The bundle: the same logits after the round trip, and no damaged or edited one passes."""

import json
import os
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dermasense.errors import DermaSenseError
from dermasense.models.bundle import load_bundle, save_bundle
from dermasense.models.classifier import build_classifier
from dermasense.models.weight_files import fingerprint, sha256
from dermasense.models.weights import load

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def build():
    torch.manual_seed(0)
    classifier, spec, _ = build_classifier(
        backbone="tf_efficientnet_lite0", num_classes=7, head={"name": "se_mlp"}, image_size=64,
        weights="package",
    )  # fmt: skip
    classifier.train()
    with torch.no_grad():
        classifier(pictures(8))  # the statistics of the batch norms leave their initial values
    return classifier.eval(), spec


def pictures(n=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, 64, 64), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def trained():
    return build()


@pytest.fixture
def folder(tmp_path, trained):
    return save_bundle(tmp_path / "run", *trained, NAMES, {"licence": "CC BY-NC 4.0"})


def edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(folder, pattern):
    with pytest.raises(DermaSenseError, match=pattern) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


@torch.no_grad()
def test_the_round_trip_gives_the_same_logits_bit_for_bit(folder, trained):
    classifier, spec = trained
    bundle = load_bundle(folder)
    assert torch.equal(bundle.classifier(pictures()), classifier(pictures()))
    assert not bundle.classifier.training
    assert bundle.spec == spec
    assert bundle.class_names == NAMES
    assert bundle.temperature == 1.0
    assert bundle.info["licence"] == "CC BY-NC 4.0"


def test_model_json_says_all_that_inference_needs(folder):
    text = json.loads((folder / "model.json").read_text())
    assert text["schema_version"] == 1
    assert text["backbone"] == "tf_efficientnet_lite0"
    assert text["head"] == {
        "name": "se_mlp", "reduction": 4, "hidden": [384, 192], "dropout": [0.3, 0.25, 0.15],
        "bn_momentum": 0.1,
    }  # fmt: skip
    assert text["class_names"] == list(NAMES)
    assert text["input"] == {
        "image_size": 64, "resize": "squash", "mean": [0.5] * 3, "std": [0.5] * 3,
        "interpolation": "bicubic", "max_pixels": 50_000_000,
    }  # fmt: skip
    assert text["sha256"] == sha256(folder / "model.safetensors")
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.safetensors"]


def test_saving_what_was_loaded_changes_nothing(folder, tmp_path):
    bundle = load_bundle(folder)
    again = save_bundle(
        tmp_path / "again", bundle.classifier, bundle.spec, bundle.class_names, bundle.info
    )
    for name in ("model.json", "model.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


@torch.no_grad()
def test_half_precision_is_half_the_size_and_close(folder, tmp_path, trained):
    classifier, spec = trained
    half = save_bundle(tmp_path / "half", classifier, spec, NAMES, dtype="float16")
    sizes = [(f / "model.safetensors").stat().st_size for f in (half, folder)]
    assert 0.5 < sizes[0] / sizes[1] < 0.52
    with safe_open(half / "model.safetensors", "pt") as file:
        kinds = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
    assert {kinds[key] for key in kinds if "running_" in key} == {"F32"}
    assert {kinds[key] for key in kinds if key.endswith("weight")} == {"F16"}
    bundle = load_bundle(half)
    assert next(bundle.classifier.parameters()).dtype == torch.float32
    assert torch.allclose(bundle.classifier(pictures()), classifier(pictures()), atol=0.02)


def test_values_that_json_lacks_are_written_plainly(tmp_path, trained):
    info = {"metrics": {"top1": np.float32(0.5), "auroc": float("nan"), "n": np.arange(2)}}
    folder = save_bundle(tmp_path / "run", *trained, NAMES, info | {"temperature": 1.5})
    bundle = load_bundle(folder)
    assert bundle.info["metrics"] == {"top1": 0.5, "auroc": None, "n": [0, 1]}
    assert bundle.temperature == 1.5


def test_one_changed_byte_is_refused(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(folder, r"model\.safetensors: its sha256 is not the one in model\.json")


def test_swapped_dropped_and_doubled_class_names_are_refused(folder):
    edit(folder, class_names=["bcc", "akiec", *NAMES[2:]])
    refused(folder, r"class_names is \[\"bcc\", \"akiec\".*saved with \[\"akiec\", \"bcc\"")
    edit(folder, class_names=NAMES[:6])
    refused(folder, "6 class names for 7 logits")
    edit(folder, class_names=[*NAMES[:6], "nv"])
    refused(folder, "occurs twice")


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "tf_efficientnet_lite2"},
        {"head": {"name": "linear", "dropout": 0.2}},
        {"input": {"image_size": 64, "resize": "squash", "mean": [0.4] * 3, "std": [0.5] * 3}},
    ],
)
def test_what_decides_the_logits_cannot_be_edited(folder, change):
    edit(folder, **change)
    refused(folder, rf"{next(iter(change))} is .*weights were saved with")


def test_what_does_not_decide_the_logits_can(folder):
    edit(folder, temperature=2.5, note="calibrated later")
    bundle = load_bundle(folder)
    assert bundle.temperature == 2.5
    assert bundle.info["note"] == "calibrated later"


def test_a_pickle_under_the_name_of_safetensors_is_refused(folder, trained):
    path = folder / "model.safetensors"
    torch.save(trained[0].state_dict(), path)
    refused(folder, "sha256")
    edit(folder, sha256=sha256(path))
    refused(folder, "not a safetensors file .a PyTorch file under another name")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_schema_version_is_refused(folder, version):
    edit(folder, schema_version=version)
    refused(folder, f"schema_version is {version!r}, this DermaSense reads 1")


def test_weights_of_another_run_are_refused(folder, tmp_path, trained):
    classifier, spec = trained
    other = save_bundle(tmp_path / "other", classifier, spec, NAMES[::-1])
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    refused(folder, "written by another run")
    edit(folder, sha256=sha256(folder / "model.safetensors"))
    refused(folder, "class_names is")


@pytest.mark.parametrize("temperature", [0, -1, "warm", None, float("nan")])
def test_a_temperature_that_is_none_is_refused(folder, temperature):
    edit(folder, temperature=temperature)
    refused(folder, "temperature is")


@pytest.mark.parametrize(
    ("key", "tensor"),
    [("classifier.weight", None), ("classifier.bias", torch.zeros(3)), ("other", torch.zeros(3))],
)
def test_weights_that_do_not_fit_are_refused(folder, key, tensor):
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        about, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    tensors.pop(f"head.{key}", None)
    if tensor is not None:
        tensors[f"head.{key}"] = tensor
    save_file(tensors, path, about)
    edit(folder, sha256=sha256(path))
    refused(folder, rf"1 tensors do not fit .*head\.{key}")


def test_missing_files_and_fields_are_named(folder, tmp_path):
    refused(tmp_path / "nowhere", r"nowhere.model\.json: no such file")
    (tmp_path / "cross_validation.json").write_text("{}")
    refused(tmp_path, r"is a cross-validation, of several models; name one fold \(.*/fold_0\)")
    text = json.loads((folder / "model.json").read_text())
    del text["head"]
    (folder / "model.json").write_text(json.dumps(text))
    refused(folder, "lacks head")
    (folder / "model.json").write_text("{")
    refused(folder, "not valid JSON")
    (folder / "model.safetensors").unlink()
    (folder / "model.json").write_text(json.dumps(text | {"head": {}}))
    refused(folder, r"model\.safetensors: no such file")


def test_wrong_names_dtype_or_diverged_weights_are_not_saved(tmp_path):
    classifier, spec = build()
    with pytest.raises(DermaSenseError, match="6 class names for 7 logits"):
        save_bundle(tmp_path, classifier, spec, NAMES[:6])
    with pytest.raises(DermaSenseError, match="float32, float16"):
        save_bundle(tmp_path, classifier, spec, NAMES, dtype="int8")
    with torch.no_grad():
        classifier.head.classifier.bias[0] = 1e6
    with pytest.raises(DermaSenseError, match=r"head\.classifier\.bias.*save it as float32"):
        save_bundle(tmp_path, classifier, spec, NAMES, dtype="float16")
    with torch.no_grad():
        classifier.head.classifier.bias[0] = float("nan")
    with pytest.raises(DermaSenseError, match="the training diverged"):
        save_bundle(tmp_path, classifier, spec, NAMES)
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_is_cut_leaves_the_former_bundle(folder, trained, monkeypatch):
    def cut(*args):
        raise KeyboardInterrupt

    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    monkeypatch.setattr("os.replace", cut)
    with pytest.raises(KeyboardInterrupt):
        save_bundle(folder, *trained, NAMES, {"note": "new"})
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_each_file_is_on_the_disk_before_it_has_its_name(tmp_path, trained, monkeypatch):
    events = []
    monkeypatch.setattr("os.fsync", lambda _: events.append("flushed"))
    replace = os.replace

    def rename(source, target):
        events.append(target.name)
        replace(source, target)

    monkeypatch.setattr("os.replace", rename)
    folder = save_bundle(tmp_path / "run", *trained, NAMES)
    assert events == ["flushed", "model.safetensors", "flushed", "model.json"]
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "model.json"}


def test_the_file_holds_the_backbone_and_the_head_and_no_normalisation(folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        rooms = {re.match(r"\w+", key).group() for key in file.keys()}  # noqa: SIM118
    assert rooms == {"backbone", "head"}


def test_a_backbone_takes_its_weights_from_a_bundle(folder, trained):
    fresh = build()[0].backbone
    filled, provenance = load(fresh, "tf_efficientnet_lite0", str(folder))
    assert fingerprint(filled) == fingerprint(trained[0].backbone)
    assert provenance["sha256"] == load_bundle(folder).info["sha256"]


def begun_with(weights, names=NAMES, head="se_mlp", **options):
    torch.manual_seed(1)
    classifier, _, provenance = build_classifier(
        backbone="tf_efficientnet_lite0", num_classes=len(names), class_names=names,
        head={"name": head, **options}, image_size=64, weights=str(weights),
    )  # fmt: skip
    return classifier, provenance.get("head", "")


@torch.no_grad()
@pytest.mark.parametrize("place", ["", "model.safetensors", "elsewhere.safetensors"])
def test_a_model_to_begin_with_answers_as_it_did(folder, trained, place):
    (folder / "elsewhere.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    if place == "elsewhere.safetensors":
        (folder / "model.json").unlink()
    classifier, told = begun_with(folder / place, dropout=[0.0, 0.0, 0.0])
    assert told == f"The head of weights={folder / place} comes along."
    assert torch.equal(classifier.eval()(pictures()), trained[0](pictures()))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"names": NAMES[::-1]}, "has a head for the classes akiec, bcc, .*, vasc, in this order"),
        ({"names": NAMES[:3]}, "has a head for the classes akiec, bcc, .*, vasc, in this order"),
        ({"head": "linear"}, "has the head se_mlp, this run linear"),
        ({"hidden": [8, 4]}, "has a head se_mlp of another size"),
    ],
)
def test_a_head_that_does_not_fit_starts_anew_and_it_is_told(folder, trained, options, why):
    classifier, told = begun_with(folder, **options)
    assert re.fullmatch(f"The head starts anew: weights={folder} {why}.", told)
    assert fingerprint(classifier.head) == fingerprint(begun_with("none", **options)[0].head)
    assert fingerprint(classifier.backbone) == fingerprint(trained[0].backbone)


def saved(module, path):
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    return path


def test_a_head_of_unknown_classes_starts_anew_and_it_is_told(tmp_path, trained):
    weights = saved(trained[0], tmp_path / "best.safetensors")
    classifier, told = begun_with(weights)
    assert "does not tell the classes of its head" in told
    assert fingerprint(classifier.head) == fingerprint(begun_with("none")[0].head)


def test_of_weights_without_a_head_nothing_is_told(tmp_path, trained):
    assert begun_with(saved(trained[0].backbone, tmp_path / "backbone.safetensors"))[1] == ""
    assert begun_with("package")[1] == begun_with("none")[1] == ""
