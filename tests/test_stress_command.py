"""The stress command on a run of synthetic pictures."""

import functools
import json

import pandas as pd
import pytest

from dermasense import stress
from dermasense.evaluation.predictions import read_predictions
from tests.fakes import stub_backbone, untrained_run


@pytest.fixture
def command(run_command):
    return functools.partial(run_command, stress)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture
def run(tmp_path, drawn, monkeypatch):
    """A run folder with an untrained bundle and a split of whole lesions."""
    monkeypatch.setattr("timm.create_model", stub_backbone)
    folder = tmp_path / "run"
    found = untrained_run(folder, drawn, n_lesions=60, image_size=32)
    groups = sorted(found.frame["group"].unique())
    parts = {group: "test" if place < 25 else "train" for place, group in enumerate(groups)}
    splits = found.frame[["image_id", "group", "label"]]
    splits = splits.assign(split=splits["group"].map(parts))
    splits.to_csv(folder / "splits.csv", index=False)
    return folder


def words(run, drawn, *more):
    return ["data=synthetic", f"data.root={drawn}", "data.n_lesions=60", "data.image_px=48",
            f"bundle={run}", "resamples=100", *more]  # fmt: skip


def test_numbers_page_drawings_and_tables_are_written(command, run, drawn):
    code, out, err = command(*words(run, drawn, "corruption=blur,hair"))
    assert code == 0, err
    folder = run / "stress"
    found = json.loads((folder / "stress.json").read_text())
    splits = pd.read_csv(run / "splits.csv")
    tests = splits[splits["split"] == "test"]
    assert found["n"] == len(tests) and found["n_groups"] == 25
    assert list(found["corruptions"]) == ["blur", "hair"]
    assert [row["strength"] for row in found["corruptions"]["hair"]["rows"]] == [1, 2, 3, 4, 5]
    row = found["corruptions"]["blur"]["rows"][4]["top1"]
    assert row["low"] <= row["value"] <= row["high"]
    assert row["change"]["value"] == pytest.approx(row["value"] - found["clean"]["top1"]["value"])
    assert found["baseline"]["top1"] == tests["label"].value_counts().max() / len(tests)
    assert found["segmentation"]["synthetic"]["iou"]["value"] > 0.8
    page = (folder / "stress.html").read_text()
    assert "What each spoiling costs" in page and "Without the lesion" in page
    assert "not a medical device" in page and "they say nothing about skin" in page
    assert str(run.parent) not in page
    assert (folder / "figures" / "blur.svg").is_file()
    table = read_predictions(folder / "predictions" / "lesion_black.parquet")
    assert sorted(table.frame["image_id"]) == sorted(tests["image_id"])
    assert "lesion_to_skin" in out and "not a medical device" in out


def test_the_same_seed_gives_the_same_numbers(command, run, drawn, tmp_path):
    texts = []
    for name in ("a", "b"):
        more = ("corruption=colour_cast", "occlusion=false", "limit=20", f"out={tmp_path / name}")
        assert command(*words(run, drawn, *more))[0] == 0
        texts.append((tmp_path / name / "stress.json").read_text())
    assert texts[0] == texts[1]
    found = json.loads(texts[0])
    assert 10 < found["n"] <= 20 and found["occlusions"] == {} and found["segmentation"] is None
    assert "Without the lesion" not in (tmp_path / "a" / "stress.html").read_text()


def test_occlusions_alone_will_do(command, run, drawn):
    code, _, err = command(*words(run, drawn, "corruption=none", "limit=20"))
    assert code == 0, err
    assert "What each spoiling costs" not in (run / "stress" / "stress.html").read_text()


def test_a_number_without_an_interval_says_so(capsys):
    alone, none = {"value": 1.0, "low": None}, {"value": None, "low": None}
    clean = {"top1": alone, "balanced_accuracy": none}
    baseline = {"answer": "nv", "top1": 1.0, "balanced_accuracy": None}
    found = {"clean": clean, "corruptions": {}, "occlusions": {}, "baseline": baseline}
    stress._show({**found, "n": 1, "n_groups": 1, "protocol": "grouped", "note": ""})
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("clean"))
    assert "1.000 (no interval)" in row and row.endswith(" -") and " to " not in row


def test_mistakes_are_a_sentence(command, run, drawn):
    assert "bundle= is needed" in command()[2]
    assert "did you mean 'blur'" in command(*words(run, drawn, "corruption=blurr"))[2]
    assert "part=train is unknown" in command(*words(run, drawn, "part=train"))[2]
    assert "resamples=5" in command(f"bundle={run}", "resamples=5")[2]
    (run / "splits.csv").unlink()
    code, _, err = command(*words(run, drawn))
    assert code == 2 and "has no splits.csv" in err and "Traceback" not in err


def test_the_model_in_the_package_is_asked_and_not_written_into(
    call_command, here, run, drawn, tmp_path, monkeypatch
):
    (tmp_path / "package").mkdir()
    there = (run / "bundle").rename(tmp_path / "package" / "shipped")
    monkeypatch.setattr("dermasense.models.hub_bundle._PACKAGE", tmp_path / "package")
    described = json.loads((there / "model.json").read_text())
    (there / "model.json").write_text(json.dumps({**described, "training_data": "other"}))
    asked = ["corruption=blur", "occlusion=false", "limit=20"]
    code, _, err = call_command(stress, *words("shipped", drawn, *asked))
    assert code == 0, err
    found = json.loads((here / "outputs" / "shipped" / "stress" / "stress.json").read_text())
    assert found["model"] == "shipped"
    assert not (there / "stress").exists() and not (there.parent / "stress").exists()
