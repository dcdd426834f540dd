"""The fit_ood command: fitted once, every answer of the bundle knows its distance."""

import functools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from dermasense import fit_ood, load
from tests.fakes import fake_ham, stub_backbone
from tests.inference.tiny_bundle import pictures, tiny_bundle


@pytest.fixture
def command(run_command, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    return functools.partial(run_command, fit_ood)


@pytest.fixture
def run(tmp_path):
    """A finished run on noise, as far as the command looks."""
    root = fake_ham(tmp_path / "ham", per_class=20)
    folder = tmp_path / "run"
    tiny_bundle(folder / "bundle")
    source = {"_target_": "dermasense.data.sources.ham10000.catalog", "root": str(root)}
    settings = {"data": {"name": "ham10000", "source": source}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "environment.json").write_text(json.dumps({"overrides": []}))
    frame = pd.read_csv(root / "HAM10000_metadata.csv")
    split = frame[["image_id", "lesion_id", "dx"]].set_axis(["image_id", "group", "label"], axis=1)
    split["split"] = np.where(np.arange(len(split)) % 2, "val", "train")
    split.to_csv(folder / "splits.csv", index=False)
    return folder


def test_a_run_is_fitted_on_its_validation_part(command, run):
    card = run / "bundle" / "MODEL_CARD.md"
    card.write_text("# A model\n\n## Limits\n")
    code, printed, err = command(f"run={run}")
    assert code == 0, err
    assert "fitted on 70 pictures" in printed and "not a medical device" in printed
    said = json.loads((run / "bundle" / "model.json").read_text())["ood"]
    assert said["fitted_on"] == "validation part of ham10000" and said["n"] == 70
    assert "farther off than all but 1 % of the 70 images" in card.read_text()
    model = load(run)
    found = model.predict(run.parent / "ham" / "images" / "nv_3.jpg")
    assert found.distance < 1.2 and not found.warnings
    assert model.predict(np.full((40, 40, 3), 255, np.uint8)).distance > 1
    before = (run / "bundle" / "ood.safetensors").read_bytes()
    assert command(f"run={run}")[0] == 0
    assert (run / "bundle" / "ood.safetensors").read_bytes() == before


def test_pictures_that_moved_are_named_by_their_new_root(command, run, tmp_path):
    shutil.move(tmp_path / "ham", tmp_path / "moved (1)")
    code, _, err = command(f"run={run}")
    assert code == 2 and err.startswith("error: ")
    assert command(f"run={run}", f"data.root={tmp_path / 'moved (1)'}")[0] == 0


def test_a_bundle_is_fitted_on_pictures_of_a_folder(command, run, tmp_path):
    for number, pixels in enumerate(pictures(60)):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    (tmp_path / "photos" / "broken.png").write_bytes(b"x")
    code, printed, err = command(f"bundle={run / 'bundle'}", f"images={tmp_path / 'photos'}")
    assert code == 0, err
    assert "fitted on 60 pictures (pictures of photos)" in printed


def test_labels_name_pictures_as_predict_takes_them(command, run, tmp_path):
    """By file name: sixty pictures of one lesion are one lesion, which is too few."""
    (tmp_path / "photos").mkdir()
    for number, pixels in enumerate(pictures(60)):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    table = tmp_path / "labels.csv"
    rows = [f"{number}.png,mel,one" for number in range(60)]
    table.write_text("\n".join(["image_id,label,lesion_id", *rows]))
    words = [f"bundle={run / 'bundle'}", f"images={tmp_path / 'photos'}", f"labels={table}"]
    code, _, err = command(*words)
    assert code == 2 and "all pictures are of one lesion" in err
    table.write_text("image_id,label,lesion_id\nother.png,mel,one")
    code, _, err = command(*words)
    assert code == 2 and "labels none of the pictures" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "run= is needed"),
        (["bundle=x"], "run= is needed"),
        (["run={run}", "false_alarms=2"], "false_alarms=2"),
        (["run=nowhere"], "no such file"),
        (["run={run}", "bundle={run}"], "bundle=: run= has its own"),
    ],
)
def test_a_mistake_is_one_sentence(command, run, words, said):
    code, _, err = command(*[word.format(run=run) for word in words])
    assert code == 2 and said in err
    assert len(err.strip().splitlines()) == 1 and err.startswith("error: ")


@pytest.mark.parametrize("name", ["shipped", "hf://owner/name"])
def test_a_bundle_that_others_use_is_not_changed(command, run, tmp_path, monkeypatch, name):
    (tmp_path / "package").mkdir()
    there = (run / "bundle").rename(tmp_path / "package" / "shipped")
    monkeypatch.setattr("dermasense.models.hub_bundle._PACKAGE", tmp_path / "package")
    monkeypatch.setattr("dermasense.models.hub_bundle._fetched", lambda _: there)
    before = {path.name: path.read_bytes() for path in there.iterdir()}
    code, _, err = command(f"bundle={name}", f"images={tmp_path / 'ham' / 'images'}")
    assert code == 2 and f"error: {name}: is not changed" in err
    assert f"(cp -rL {there} mine) and name the copy, bundle=mine." in err
    assert {path.name: path.read_bytes() for path in there.iterdir()} == before
