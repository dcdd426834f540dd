"""The predict command as a person meets it."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermasense import evaluate, load, predict
from dermasense.evaluation.decisions.group_conditional import GroupConditional
from dermasense.evaluation.predictions import read_predictions
from dermasense.evaluation.probabilities_csv import read_labels, read_probabilities
from dermasense.inference.model import Model
from dermasense.on_pictures import folder_for
from tests.fakes import stub_backbone
from tests.inference.tiny_bundle import NAMES, decided, edit, pictures, tiny_bundle


@pytest.fixture
def command(run_command, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    return functools.partial(run_command, predict, "engine=torch")


@pytest.fixture
def folder(tmp_path):
    """Forty pictures, two of them broken, and their labels."""
    place = tmp_path / "photos (1)"
    place.mkdir()
    for number, pixels in enumerate(pictures(40)):
        Image.fromarray(pixels).resize((50, 44)).save(place / f"p{number:02d}.png")
    cut = (place / "p05.png").read_bytes()
    (place / "p05.png").write_bytes(cut[: len(cut) // 2])
    (place / "p31.png").write_bytes(b"no picture")
    (place / "notes.txt").write_text("of somebody")
    labels = pd.DataFrame({"image_id": [f"p{n:02d}" for n in range(40)]})
    labels["label"] = [NAMES[n % 3] for n in range(40)]
    labels["lesion_id"] = [f"L{n // 2}" for n in range(40)]
    labels.to_csv(tmp_path / "labels.csv", index=False)
    return place


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    decision = decided(lac=0.7, referral=0.6)
    return tiny_bundle(tmp_path / "bundle", decision=decision, note="drawn by a program")


def files(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_a_folder_with_broken_files_ends_with_3_and_the_rest_is_answered(
    command, folder, bundle, tmp_path
):
    out = tmp_path / "answers"
    code, printed, err = command(f"images={folder}", f"bundle={bundle}", f"out={out}", "show=2")
    assert code == 3, err
    assert printed.count("p00.png: ") == 1 and "38 pictures answered" in printed
    assert "the model: drawn by a program" in printed and "not a medical device" in printed
    assert "2 files cannot be read" in err and "Traceback" not in err
    assert "1 file or folder passed over, no picture by its name (first: notes.txt)" in err
    skipped = pd.read_csv(out / "skipped.csv")
    assert list(skipped["image"]) == ["p05.png", "p31.png"]
    assert "not a picture of a known format" in skipped["reason"][1]
    sheet = pd.read_csv(out / "predictions.csv")
    model = load(bundle, engine="torch")
    expected = model.predict([folder / name for name in sheet["image"]])
    assert list(sheet["answer"]) == [p.answer for p in expected]
    shown = sheet[[f"prob_{name}" for name in NAMES]].to_numpy()
    np.testing.assert_allclose(shown, [[*p.probabilities.values()] for p in expected], atol=1e-5)
    assert list(sheet["decision"]) == [p.decision for p in expected]
    assert (sheet["notice"] == "Research software, not a medical device.").all()
    parquet = pd.read_parquet(out / "predictions.parquet")
    assert len(parquet) == 38 and list(parquet["answer"]) == list(sheet["answer"])


def test_one_picture_is_counted_as_one(command, folder, bundle, tmp_path):
    place = f"images={folder / 'p00.png'}"
    code, printed, err = command(place, f"bundle={bundle}", f"out={tmp_path / 'answers'}")
    assert code == 0, err
    assert "\n1 picture answered" in printed


def test_with_labels_the_table_goes_to_evaluate_as_it_is(
    command, run_command, folder, bundle, tmp_path
):
    out, truth = tmp_path / "answers", tmp_path / "labels.csv"
    words = [f"images={folder}", f"bundle={bundle}", f"out={out}", f"labels={truth}"]
    code, printed, _ = command(*words)
    assert code == 3 and "dermasense.evaluate" in printed
    table = read_predictions(out / "predictions.parquet")
    assert table.class_names == NAMES and len(table) == 38
    assert table.n_groups == 20
    assert list(table.frame["label"][:2]) == ["mel", "nv"]
    code, printed, err = run_command(
        evaluate, f"predictions={out / 'predictions.parquet'}", "resamples=100"
    )
    assert code == 0, err
    sheet = pd.read_csv(out / "predictions.csv")
    assert np.mean(sheet["label"] == sheet["answer"]) == pytest.approx(
        (table.logits.argmax(1) == table.labels).mean()
    )
    pd.read_csv(truth).iloc[:10].to_csv(truth, index=False)
    code, _, err = command(*words)
    assert code == 3 and "29 pictures without a label" in err
    assert len(read_predictions(out / "predictions.parquet")) == 9


def test_an_empty_set_is_told_from_none(command, folder, bundle, tmp_path):
    words = [f"images={folder / 'p00.png'}", f"bundle={bundle}"]
    shown = {}
    for name, decision in {"empty": decided(lac=0.0), "none": decided(referral=0.6)}.items():
        edit(bundle, decision=decision)
        assert command(*words, f"out={tmp_path / name}")[0] == 0
        sheet = pd.read_csv(tmp_path / name / "predictions.csv", keep_default_na=False)
        shown[name] = list(sheet["prediction_set"])
    assert shown == {"empty": ["{}"], "none": [""]}


def test_a_file_name_is_no_formula_in_a_spreadsheet_and_is_still_found_by_evaluate(
    command, run_command, bundle, tmp_path
):
    names = ["=cmd|'x'!A1", "+1", "-1", "@x", "'=y", "'plain", "plain"]
    (tmp_path / "photos").mkdir()
    for number, (name, pixels) in enumerate(zip(names, pictures(7), strict=True)):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
        if number < 2:
            (tmp_path / "photos" / f"{name} broken.png").write_bytes(b"no picture")
    out, truth = tmp_path / "out", tmp_path / "labels.csv"
    code, _, err = command(f"images={tmp_path / 'photos'}", f"bundle={bundle}", f"out={out}")
    assert code == 3, err
    for file, column in (
        ("predictions", "image"),
        ("predictions", "image_id"),
        ("skipped", "image"),
    ):
        cells = pd.read_csv(out / f"{file}.csv", dtype=str)[column]
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert set(pd.read_parquet(out / "predictions.parquet")["image_id"]) == set(names)
    labels = pd.DataFrame({"image_id": names, "label": [NAMES[n % 3] for n in range(7)]})
    labels.to_csv(truth, index=False)
    words = [f"predictions={out / 'predictions.csv'}", f"labels={truth}", "resamples=100"]
    code, _, err = run_command(evaluate, *words, f"out={tmp_path / 'judged'}")
    assert code == 0, err
    table = read_probabilities(out / "predictions.csv", read_labels(truth))
    assert dict(zip(table.frame["image_id"], table.frame["label"], strict=True)) == dict(
        labels.itertuples(index=False)
    )


def test_the_same_pictures_give_the_same_bytes_wherever_they_lie(command, folder, bundle, tmp_path):
    for name in ("one", "two"):
        command(f"images={folder}", f"bundle={bundle}", f"out={tmp_path / name}")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for path in sorted(folder.iterdir(), reverse=True):
            archive.write(path, path.name)
    code, *_ = command(f"images={tmp_path / 'z.zip'}", f"bundle={bundle}", f"out={tmp_path / '3'}")
    assert code == 3
    assert files(tmp_path / "one") == files(tmp_path / "two") == files(tmp_path / "3")


def test_a_call_that_was_cut_goes_on_and_writes_the_same_bytes(
    command, folder, bundle, tmp_path, monkeypatch
):
    words = [f"images={folder}", f"bundle={bundle}", "batch_size=4", "part_size=10"]
    assert command(*words, f"out={tmp_path / 'whole'}")[0] == 3
    judge, judged = Model.judge, []

    def cut(self, pixels, names=None):
        if len(judged) >= 22:
            raise KeyboardInterrupt
        judged.extend(names)
        return judge(self, pixels, names)

    monkeypatch.setattr(Model, "judge", cut)
    assert command(*words, f"out={tmp_path / 'cut'}")[0] == 130
    assert not (tmp_path / "cut" / "predictions.csv").exists()
    again = []
    monkeypatch.setattr(Model, "judge", lambda s, p, n=None: again.extend(n) or judge(s, p, n))
    assert command(*words, f"out={tmp_path / 'cut'}")[0] == 3
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert again[0] == "p20.png" and len(again) == 19  # two parts of ten were there


def test_other_options_do_not_go_on_from_the_parts_of_a_cut_call(
    command, folder, bundle, tmp_path, monkeypatch
):
    out, judge = tmp_path / "out", Model.judge

    def cut(self, pixels, names=None):
        if "p20.png" in names:
            raise KeyboardInterrupt
        return judge(self, pixels, names)

    words = [f"images={folder}", f"bundle={bundle}", f"out={out}", "part_size=10"]
    monkeypatch.setattr(Model, "judge", cut)
    assert command(*words)[0] == 130
    monkeypatch.setattr(Model, "judge", judge)
    assert command(*words, "tta=flips")[0] == 3
    assert command(*words[:2], f"out={tmp_path / 'fresh'}", "tta=flips", "part_size=10")[0] == 3
    assert files(out) == files(tmp_path / "fresh")


def test_sets_for_groups_are_the_widest_where_no_picture_tells_its_group_and_that_is_said(
    command, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    entry = GroupConditional(
        class_names=NAMES,
        thresholds={"": 0.3, "I-II": 0.4, "V-VI": 0.9},
        n={"": 90},
        banding="tones",
    ).as_dict()
    one = tiny_bundle(tmp_path / "by_group", decision={"set": entry})
    code, printed, _ = command(f"images={folder}", f"bundle={one}", f"out={tmp_path / 'o'}")
    assert code == 3
    assert "its sets were fitted for each skin_type, which a picture does not tell" in printed
    sheet = pd.read_csv(tmp_path / "o" / "predictions.csv")
    inside = (1 - sheet[[f"prob_{name}" for name in NAMES]] <= 0.9).sum(axis=1)
    assert list(sheet["prediction_set"].fillna("").str.split("|").map(len)) == list(inside)


def test_the_views_are_those_of_the_bundle_and_others_are_said_to_be(
    command, folder, bundle, tmp_path
):
    edit(bundle, tta={"views": "flips", "average": "log"})
    found, said = {}, {}
    for name, more in {"own": [], "flips": ["tta=flips"], "none": ["tta=none"]}.items():
        words = [f"images={folder}", f"bundle={bundle}", f"out={tmp_path / name}"]
        _, printed, err = command(*words, *more)
        found[name] = (tmp_path / name / "predictions.csv").read_bytes()
        said[name] = "is not what the bundle was tested with" in printed + err
    assert found["own"] == found["flips"] != found["none"]
    assert said == {"own": False, "flips": False, "none": True}


def test_views_are_those_of_every_command_and_may_be_averaged_as_probabilities(
    command, folder, bundle, tmp_path
):
    words = [f"images={folder}", f"bundle={bundle}"]
    found = {}
    for name, more in {"log": [], "probability": ["tta.average=probability"]}.items():
        code, *_ = command(*words, f"out={tmp_path / name}", "tta=crops", *more)
        assert code == 3
        found[name] = pd.read_csv(tmp_path / name / "predictions.csv")["prob_mel"].to_numpy()
    assert np.abs(found["log"] - found["probability"]).max() > 1e-4
    same = load(bundle, engine="torch", tta="crops", average="probability")
    assert same.predict(folder / "p00.png").probabilities["mel"] == pytest.approx(
        found["probability"][0], abs=1e-5
    )


def test_one_picture_prints_its_answer(command, folder, bundle, tmp_path):
    code, printed, _ = command(
        f"images={folder / 'p00.png'}", f"bundle={bundle}", f"out={tmp_path / 'o'}"
    )
    assert code == 0
    first = printed.splitlines()[0]
    assert first.startswith("p00.png: ") and "%" in first and "set {" in first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "images= is needed"),
        (["images=nowhere"], "no such file or folder"),
        (["images={folder}", "bundle=shipped"], "no bundle is shipped"),
        (["images={folder}", "bundle={bundle}", "tta=mirror"], "tta"),
        (["images={folder}", "bundle={bundle}", "batch_size=0"], "batch_size=0"),
        (["images={folder}", "bundle={bundle}", "show=-1"], "show=-1: expected an integer >= 0"),
        (["images={folder}", "bundle={bundle}", "labels={bad}"], "melanoma, which is no class"),
        (["images={folder}", "bundle={bundle}", "labels={other}"], "labels none of the pictures"),
        (["imgaes=x"], "did you mean"),
    ],
)
def test_a_mistake_is_one_sentence(command, folder, bundle, tmp_path, words, said, monkeypatch):
    monkeypatch.setattr("dermasense.models.hub_bundle._PACKAGE", tmp_path)
    (tmp_path / "bad.csv").write_text("image_id,label\np00,melanoma\n")
    (tmp_path / "other.csv").write_text("image_id,label\nq,mel\n")
    places = {name: tmp_path / f"{name}.csv" for name in ("bad", "other")}
    words = [word.format(folder=folder, bundle=bundle, **places) for word in words]
    code, _, err = command(*words, f"out={tmp_path / 'o'}")
    assert code == 2 and said in err
    assert len(err.strip().splitlines()) == 1 and err.startswith("error: ")


def test_no_two_places_have_their_answers_in_one_folder():
    places = ["photos", "A/photos", "B/photos", "A_photos", "/photos", "../photos", "photos.zip"]
    places += ["photos.csv", "photos (1)", "photos__1", "*.jpg", "a/*.jpg", ".", "..", "x" * 300]
    found = [folder_for(None, "predictions", place) for place in places]
    assert len(set(found)) == len(places)
    assert found[0] == Path("outputs/predictions/photos")
    assert {folder.parent for folder in found} == {found[0].parent}
    again = [folder_for(None, "predictions", f"{place}/") for place in places]
    assert again == found
    assert folder_for("answers", "predictions", "A/photos") == Path("answers")


@pytest.mark.parametrize(
    ("option", "name"), [("images", "predictions.csv"), ("labels", "skipped.csv")]
)
def test_a_table_that_is_read_is_not_written_over(command, folder, bundle, tmp_path, option, name):
    (tmp_path / "mine").mkdir()
    table = tmp_path / "mine" / name
    table.write_text(f"image_id,path,label,age\np00,{folder / 'p00.png'},mel,61\n")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    before = table.read_bytes()
    words = {"images": folder, option: tmp_path / "link" / name, "out": tmp_path / "mine"}
    code, _, err = command(f"bundle={bundle}", *(f"{key}={word}" for key, word in words.items()))
    assert code == 2 and err.startswith(f"error: {tmp_path / 'link' / name} is read, and would be")
    assert len(err.strip().splitlines()) == 1
    assert files(tmp_path / "mine") == {name: before}


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import timm
from tests.fakes import stub_backbone
timm.create_model = stub_backbone
from dermasense.inference.model import Model
judge = Model.judge
def slow(self, *args):
    import time; time.sleep(0.1)
    return judge(self, *args)
Model.judge = slow
from dermasense import predict
predict.main()
"""


@pytest.mark.slow
def test_a_killed_process_leaves_what_a_second_call_needs(command, folder, bundle, tmp_path):
    words = [f"images={folder}", f"bundle={bundle}", "batch_size=2", "part_size=4"]
    root = str(Path(__file__).resolve().parents[1])
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SCRIPT.format(root=root),
            "engine=torch",
            *words,
            f"out={tmp_path / 'k'}",
        ],
        cwd=tmp_path,
    )
    parts = tmp_path / "k" / ".parts"
    for _ in range(600):
        if len(list(parts.glob("*/*.parquet"))) >= 2:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list(parts.glob("*/*.parquet"))) >= 2 and not (tmp_path / "k/skipped.csv").exists()
    assert command(*words, f"out={tmp_path / 'k'}")[0] == 3
    assert command(*words, f"out={tmp_path / 'whole'}")[0] == 3
    assert files(tmp_path / "k") == files(tmp_path / "whole")
    shutil.rmtree(tmp_path / "k")


def test_a_file_in_the_place_of_the_folder_is_one_sentence(
    command, folder, bundle, refuses_a_file_as_folder
):
    refuses_a_file_as_folder(command, f"images={folder}", f"bundle={bundle}")


def test_help_is_there_before_anything_heavy_is_imported():
    probe = (
        "import sys; sys.argv = ['predict', '--help']\n"
        "from dermasense import predict\n"
        "try: predict.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'PIL', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "skipped.csv" in done.stdout and "not a medical device" in done.stdout
