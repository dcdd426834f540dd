"""The audit command as a person meets it."""

import functools
import json

import pandas as pd
import pytest

from dermasense import audit, train
from tests.auditing.planted import scene
from tests.fakes import TINY, stub_backbone

SMALL = ["data.n_lesions=60", "data.image_px=48", "model.image_size=32", "model.weights=none"]
FEW = ["resamples=100", "folds=3"]


@pytest.fixture
def command(run_command, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    return functools.partial(run_command, audit)


@pytest.fixture
def table(tmp_path):
    """Thirty pictures in two classes with copies across groups, a broken file and a bad label."""
    folder, rows = tmp_path / "mine", []
    folder.mkdir()
    for i in range(30):
        picture = scene(i - 20 if i >= 27 else i)  # 27, 28, 29 are 7, 8, 9 again
        picture.resize((100, 75)).save(folder / f"{i}.jpg", quality=70 + i)
        rows.append(
            {"path": f"{i}.jpg", "label": "ab"[i % 2], "group": f"lesion {i}", "age": 30 + i}
        )
    rows.append({"path": "broken.jpg", "label": "a", "group": "lesion x", "age": 9})
    (folder / "broken.jpg").write_bytes((folder / "3.jpg").read_bytes()[:900])
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


def test_everything_is_asked_and_written(command, tmp_path):
    out = tmp_path / "out"
    code, printed, err = command(*SMALL, *FEW, f"out={out}")
    assert code == 0, err
    found = json.loads((out / "audit.json").read_text())
    names = ["counts", "unreadable", "duplicates", "label_errors", "shortcuts", "leak", "slices"]
    assert list(found["audits"]) == names
    assert not [name for name, f in found["audits"].items() if "not_done" in f]
    assert f"{found['images']} images of 60 groups" in printed
    page = (out / "audit.html").read_text()
    assert page.count("<section>") == len(names) and "not a medical device" in page
    assert (
        "data:image/jpeg" in page and "<script" not in page and "http" not in page.split("<body")[1]
    )


def test_a_page_to_give_away_has_no_pictures(command, table, tmp_path):
    words = [f"data.root={table}", "audits=duplicates,unreadable", "report.images=false"]
    code, printed, err = command("data=csv", *words, *SMALL[2:], f"out={tmp_path / 'out'}")
    assert code == 0, err
    assert "data:image" not in (tmp_path / "out" / "audit.html").read_text()
    assert "1 of 31 files cannot be read" in printed and "3 pairs join two groups" in printed


def test_the_written_catalog_trains_with_joined_groups(command, run_command, table, tmp_path):
    out, run = tmp_path / "out", tmp_path / "run"
    words = ["audits=duplicates", "audit.write=catalog", "data.attributes=[age]", f"out={out}"]
    code, printed, err = command("data=csv", f"data.root={table}", *words, *SMALL[2:])
    assert code == 0, err
    assert "30 images (1 unusable rows left out), 30 groups joined to 27" in printed
    frame = pd.read_csv(out / "catalog.csv").set_index("image_id")
    assert frame.loc["7.jpg", "group"] == frame.loc["27.jpg", "group"] == "lesion 27"
    assert frame.loc["7.jpg", "group_before"] == "lesion 7"
    words = json.loads((out / "audit.json").read_text())["catalog"]["words"]
    assert f"data.file={out / 'catalog.csv'}" in words[0]
    read = [word for line in words for word in line.split(" ")]
    tiny = [word for word in TINY if not word.startswith("data.")]
    quick = ["phases=quick", "limit_epochs=1", "logger=none", f"hydra.run.dir={run}"]
    code, _, err = run_command(train, *read, *tiny, *quick)
    assert code == 0, err
    split = pd.read_csv(run / "splits.csv")
    assert len(split) == 30 and (split.groupby("group")["split"].nunique() == 1).all()
    # The split of this run is whole; another one that tears the copies apart is seen.
    split["split"] = ["test" if name == "27.jpg" else "train" for name in split["image_id"]]
    split.to_csv(tmp_path / "torn.csv", index=False)
    words = ["audits=duplicates", f"data.splits={tmp_path / 'torn.csv'}", f"out={out}"]
    code, printed, err = command("data=csv", f"data.root={table}", *words, *SMALL[2:])
    assert code == 0, err
    assert "1 stand in two parts of the split" in printed


def test_the_audited_table_is_not_written_over(command, table):
    labels = (table / "labels.csv").rename(table / "catalog.csv")
    before = labels.read_bytes()
    words = ["data.file=catalog.csv", "audit.write=catalog", "audits=[]", f"out={table}"]
    code, _, err = command("data=csv", f"data.root={table}", *words, *SMALL[2:])
    assert code == 2 and f"{labels} is read, and would be written over" in err
    assert labels.read_bytes() == before


def test_a_folder_or_a_data_set_can_stand_against_it(command, table, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    scene(4).transpose(0).save(other / "x.png")
    scene(99).save(other / "y.png")
    words = ["audits=[]", f"out={tmp_path / 'out'}", *SMALL[2:]]
    code, printed, err = command("data=csv", f"data.root={table}", f"overlap={other}", *words)
    assert code == 0, err
    assert "1 of 2 images of other are copies of one of the 30 images of csv" in printed
    words.append(f"against_root={table}")
    code, printed, err = command("data=csv", f"data.root={table}", "against=csv", *words)
    assert code == 0, err
    assert "30 of 30 images of csv" in printed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["audits=duplicate"], "audits=duplicate is unknown; did you mean 'duplicates'"),
        (["audit.write=csv"], "write=csv is unknown; the one choice is catalog."),
        (["folds=1"], "folds=1: expected an integer >= 2."),
        (["resamples=9"], "resamples=9: expected an integer >= 100."),
        (["against=isic2081"], "against=isic2081 is no folder of pictures and no data set; did"),
        (["data.root=/dev/null/x"], "/dev/null/x"),
        (["splits=nowhere.csv"], "nowhere.csv: no such file"),
        (["resample=200"], "resample is no option; did you mean 'resamples'?"),
    ],
)
def test_a_mistake_is_one_sentence(command, words, sentence):
    code, _, err = command(*SMALL, *words)
    assert code == 2 and sentence in err and len(err.splitlines()) <= 3, err


@pytest.mark.slow
def test_ham10000_is_counted(command, real_data, tmp_path):
    words = [f"data.root={real_data('ham10000')}", "audits=counts", *SMALL[2:]]
    code, printed, err = command("data=ham10000", *words, f"out={tmp_path / 'out'}")
    assert code == 0, err
    assert "10,015 images of 7,470 groups" in printed and "2,545 images are a further" in printed
