"""The explain command as a person meets it."""

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import explain_page
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermasense import explain, load
from dermasense.errors import DermaSenseError
from dermasense.inference.explaining.to_files import file_names
from tests.inference.explaining.coloured import backbone, bundle, picture

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def command(run_command, monkeypatch):
    monkeypatch.setattr("timm.create_model", backbone)
    return functools.partial(run_command, explain, "engine=torch")


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", backbone)
    return bundle(tmp_path / "bundle")


@pytest.fixture
def photos(tmp_path):
    """Four pictures in two folders, two of one name, and a broken one."""
    place = tmp_path / "photos (1)"
    for number, name in enumerate(("a.png", "b/a.png", "c.png", "wide.png")):
        size = (200, 80) if name == "wide.png" else (96, 72)
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(*size, red=(10 + number, 12))).save(place / name)
    (place / "broken.png").write_bytes((place / "c.png").read_bytes()[:200])
    return place


def test_a_folder_becomes_overlays_a_sheet_and_a_table(command, photos, model_folder, tmp_path):
    out = tmp_path / "out"
    words = [f"images={photos}", f"bundle={model_folder}", f"out={out}", "target=red", "maps=true"]
    code, printed, err = command(*words, "method=hirescam", "show=2")
    assert code == 3, err
    assert "4 pictures explained" in printed and printed.count("speaks most for red") == 2
    assert "not a medical device" in printed and "1 file cannot be read" in err
    table = pd.read_csv(out / "explanations.csv")
    assert list(table["image"]) == ["a.png", "b/a.png", "c.png", "wide.png"]
    assert set(table["target"]) == {"red"} and set(table["method"]) == {"hirescam"}
    assert (table["notice"] == "Research software, not a medical device.").all()
    model = load(model_folder, engine="torch")
    found = model.explain(photos / "wide.png", target="red", method="hirescam", side=None)
    assert table["probability"].iloc[3] == pytest.approx(found.probability, abs=1e-5)
    np.testing.assert_array_equal(np.load(out / "maps" / "wide.npy"), found.map)
    for name in table["overlay"]:
        with Image.open(out / name) as overlay:
            assert overlay.width == 996
    assert list(pd.read_csv(out / "skipped.csv")["image"]) == ["broken.png"]
    written = {path.name for path in out.rglob("*") if path.is_file()}
    overlays = {"a.png", "b_a.png", "c.png", "wide.png", "contact_sheet.png"}
    tables = {"explanations.csv", "skipped.csv"}
    maps = {"a.npy", "b_a.npy", "c.npy", "wide.npy"}
    assert written == overlays | tables | maps


def test_one_picture_by_the_answer_and_no_maps_unasked(command, photos, model_folder, tmp_path):
    out = tmp_path / "one"
    words = [f"images={photos / 'a.png'}", f"bundle={model_folder}", f"out={out}", "sheet=0"]
    code, printed, err = command(*words)
    assert code == 0, err
    assert "1 picture explained" in printed
    assert {path.name for path in out.iterdir()} == {"a.png", "explanations.csv", "skipped.csv"}


def test_a_folder_used_before_holds_nothing_of_the_former_call(
    command, photos, model_folder, tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise DermaSenseError("1 x 1 places")

    out = tmp_path / "out"
    words = [f"bundle={model_folder}", f"out={out}"]
    assert command(f"images={photos}", *words, "maps=true")[0] == 3
    own = [out / "own.png", out / "maps" / "own.npy"]
    for path in own:
        path.write_bytes(b"somebody's own")
    former = {path.relative_to(out) for path in out.rglob("*")}
    assert command(f"images={photos}", *words, "target=rd")[0] == 2
    with monkeypatch.context() as patch:
        patch.setattr("dermasense.inference.explaining.explainer.attribution", refuse)
        assert command(f"images={photos}", *words)[0] == 2
    assert {path.relative_to(out) for path in out.rglob("*")} == former

    code, printed, err = command(f"images={photos / 'c.png'}", *words, "method=eigencam", "sheet=0")
    assert code == 0 and "contact_sheet" not in printed, err
    tables = [out / "explanations.csv", out / "skipped.csv"]
    assert sorted(p for p in out.rglob("*") if p.is_file()) == sorted(
        [*own, *tables, out / "c.png"]
    )


def test_the_overlays_of_a_killed_call_do_not_stay_beside_those_of_another(
    command, photos, model_folder, tmp_path, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    words = [f"bundle={model_folder}", f"out={out}"]
    with monkeypatch.context() as patch:
        patch.setattr("dermasense.inference.explaining.to_files.contact_sheet", killed)
        assert command(f"images={photos}", *words, "maps=true")[0] == 130
    assert (out / "wide.png").is_file() and (out / "maps" / "wide.npy").is_file()
    table = pd.read_csv(out / "explanations.csv", keep_default_na=False)
    assert "wide.png" in set(table["overlay"]) and set(table["answer"]) == {""}
    assert command(f"images={photos / 'c.png'}", *words, "sheet=0")[0] == 0
    assert {path.name for path in out.rglob("*") if path.is_file()} == {
        "c.png", "explanations.csv", "skipped.csv"
    }  # fmt: skip


def test_a_picture_is_not_written_over_by_its_overlay(command, photos, model_folder):
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    code, _, err = command(f"images={photos}", f"bundle={model_folder}", f"out={photos}")
    assert code == 2 and "would be written over" in err and "out=..." in err
    assert before == {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}


def test_the_table_of_the_pictures_is_not_written_over(command, photos, model_folder, tmp_path):
    table = tmp_path / "skipped.csv"
    table.write_text(f"path\n{photos / 'a.png'}\n")
    code, _, err = command(f"images={table}", f"bundle={model_folder}", f"out={tmp_path}")
    assert code == 2 and f"{table} is read, and would be written over" in err
    assert table.read_text().startswith("path") and not (tmp_path / "a.png").exists()


def test_a_table_of_somebody_s_own_is_not_written_over(command, photos, model_folder, tmp_path):
    table = tmp_path / "explanations.csv"
    table.write_text("image,why\na.png,red\n")
    code, _, err = command(f"images={photos}", f"bundle={model_folder}", f"out={tmp_path}")
    assert code == 2 and "explanations.csv: has no column 'overlay'" in err
    assert table.read_text() == "image,why\na.png,red\n"


def test_a_picture_that_is_referred_says_so_in_the_line_and_the_table(
    command, model_folder, tmp_path
):
    Image.fromarray(np.full((40, 40, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    place = f"images={tmp_path / 'grey.png'}"
    code, printed, err = command(place, f"bundle={model_folder}", f"out={tmp_path / 'out'}")
    assert code == 0, err
    assert "decision: refer; warning: the picture is (nearly) one colour" in printed
    (row,) = pd.read_csv(tmp_path / "out" / "explanations.csv").itertuples()
    assert row.decision == "refer" and "one colour" in row.warnings


def test_files_have_names_of_their_own():
    assert file_names(["a/b", "a_b", "A_B", "contact_sheet", "..", "d/e.PNG", "x" * 300]) == [
        "a_b", "a_b_2", "A_B_3", "contact_sheet_2", "image", "d_e", "x" * 120,
    ]  # fmt: skip


def test_mistakes_are_a_sentence(command, photos, model_folder, tmp_path):
    words = [f"images={photos}", f"bundle={model_folder}", f"out={tmp_path / 'none'}"]
    assert "images= is needed" in command(f"bundle={model_folder}")[2]
    assert "did you mean 'occlusion'" in command(*words, "method=oclusion")[2]
    code, _, err = command(*words, "target=rd")
    assert code == 2 and "target=rd is no class; did you mean 'red'" in err
    assert "sheet=-1" in command(*words, "sheet=-1")[2]
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_place_of_the_folder_is_one_sentence(
    command, photos, model_folder, refuses_a_file_as_folder
):
    refuses_a_file_as_folder(command, f"images={photos}", f"bundle={model_folder}")


def test_help_comes_without_torch():
    code = (
        "import sys; sys.argv = ['explain', '--help']\n"
        "from dermasense import explain\n"
        "try: explain.main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "python -m dermasense.explain images=photo.jpg" in done.stdout


def documented() -> list[list[str]]:
    pages = [ROOT / "README.md", ROOT / "docs" / "explain.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    lines = re.findall(r"-m dermasense\.explain (.*)", text)
    return [shlex.split(line.replace("`", ""), comments=True) for line in lines]


@pytest.mark.parametrize("words", documented(), ids=" ".join)
def test_every_documented_command_runs(command, photos, model_folder, tmp_path, words):
    given = {"images": photos, "bundle": model_folder, "out": tmp_path / "out", "target": "red"}
    words = [f"{k}={given.get(k, v)}" for k, v in (word.split("=", 1) for word in words)]
    code, printed, err = command(*words, f"out={tmp_path / 'out'}")
    assert code == 3 and "4 pictures explained" in printed, err


def test_there_are_documented_commands():
    assert len(documented()) >= 3


def test_the_table_of_the_page_is_what_was_measured():
    text = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    assert explain_page.page(text) == text and explain_page.table() in text
