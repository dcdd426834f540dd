"""Every training command of docs/data.md does what the page says, on images of noise."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from dermasense.data.catalog import NAMED, NEAR_DUPLICATES, SOME_KNOWN
from dermasense.evaluation.protocol import BY_IMAGE, GROUPED
from tests.data.own_images import lay_out
from tests.fakes import TINY

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"
COMMANDS = re.findall(r"^python -m dermasense\.train (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
QUICK = [*TINY[2:], "debug=limit", "logger=none", "report.images=false"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return lay_out(tmp_path_factory.mktemp("own"))


@pytest.fixture
def train(command, place, tmp_path, monkeypatch):
    """Trains in the place of the images; returns exit code, stderr and the rows of splits.csv."""
    monkeypatch.chdir(place)

    def call(words: str) -> tuple[int, str, list[dict]]:
        run = tmp_path / "run"
        options = [*shlex.split(words), *QUICK, f"hydra.run.dir={run}"]
        code, _, err = command(*options, f"cache_dir={place / 'cache'}")
        if code:
            return code, err, []
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics["test"]["n"] > 0
        with open(run / "splits.csv", newline="") as handle:
            rows = list(csv.DictReader(handle))
        named = any(row["group"].removeprefix("image ") != row["image_id"] for row in rows)
        assert metrics["protocol"] == (GROUPED if named else BY_IMAGE)
        assert ("images of one lesion may stand on both sides" in err) == (not named)
        assert named == (metrics["groups_are"] in (NAMED, NEAR_DUPLICATES, SOME_KNOWN))
        return code, err, rows

    return call


def test_the_page_has_a_command_for_each_choice():
    words = set(shlex.split(" ".join(COMMANDS)))
    for word in ("data=folder", "data=csv", "data=onehot", "data=concat", "split=own"):
        assert word in words
    assert "split=column" in words and len(COMMANDS) == len(set(COMMANDS)) >= 10


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_the_page_trains_without_a_leak(words, train):
    code, err, rows = train(words)
    assert code == 0, err
    parts: dict[str, set[str]] = {}
    for row in rows:
        parts.setdefault(row["group"], set()).add(row["split"])
    assert all(len(part) == 1 for part in parts.values())
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def chosen(*needles: str) -> str:
    return next(words for words in COMMANDS if all(needle in words for needle in needles))


def test_a_test_set_of_its_own_is_the_test_split_and_nothing_else_is(train):
    _, err, rows = train(chosen("split=own"))
    assert {row["image_id"] for row in rows if row["split"] == "test"} == {
        f"{label}{i}.png" for label in ("melanoma", "nevus") for i in range(5)
    }
    assert {row["label"] for row in rows} == {"mel", "nv"} and "a set of its own: csv" in err


def test_several_sources_are_one_set(train):
    _, _, rows = train(chosen("data=concat"))
    assert len(rows) == 24 + 10 and {row["label"] for row in rows} == {"mel", "nv"}


def test_a_table_gives_the_classes_any_names(train):
    _, _, rows = train(chosen("data.map=names.csv"))
    assert {row["label"] for row in rows} == {"mel", "Nävus"}


def test_the_tables_own_parts_are_taken(train):
    _, _, rows = train(chosen("data.columns.split"))
    for row in rows:
        lesion = int(re.search(r"\d+", row["image_id"]).group()) // 2
        assert row["split"] == ("train", "val", "test")[lesion % 3]


def test_folds_are_taken_by_name(train):
    _, _, rows = train(chosen("data.columns.fold"))
    for row in rows:
        lesion = int(re.search(r"\d+", row["image_id"]).group()) // 2
        assert row["split"] == ("train", "test", "val")[lesion % 3]  # east, north, south


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("data=folder data.root=photos data.map=0.3", "data.map=0.3: expected new names by label"),
        ("data=folder data.root=photos 'data.map={melanom: mel}'", "did you mean 'melanoma'?"),
        ("data=folder data.root=parted", "data.split_folders=true split=column"),
        ("data=csv data.root=hospital split=column", "has no column split or fold"),
        (
            "data=concat data@data.sources.a=folder data.sources.a.root=photos "
            "data@data.sources.b=csv data.sources.b.root=hospital",
            "data.sources.b: 'mel' (5 images), 'nv' (5 images) is none of the classes melanoma, "
            "nevus; name its class by 'data.sources.b.map={mel: <class>, nv: <class>}'",
        ),
        (
            "data=folder data.root=photos split=own data@split.test=folder split.test.root=photos",
            "24 groups stand in more than one split",
        ),
        (
            "data=concat data@data.sources.a=folder data.sources.a.root=photos "
            "data@data.sources.b=isic2018 data.sources.b.root=nowhere",
            "nowhere/labels.csv does not exist",
        ),
        (
            "data=concat data.sources.a.on_error=skip data.sources.a.root=hospital",
            "type data.on_error=skip instead",
        ),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence, train):
    code, err, _ = train(words)
    assert code == 2 and sentence in err and "Traceback" not in err
