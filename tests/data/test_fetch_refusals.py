"""Files that do not fit are refused in one sentence, and nothing is written."""

import io
import zipfile

import pytest

from dermasense.data.fetch import assemble, data_set
from dermasense.errors import DermaSenseError
from tests.data.published import (
    FIRST,
    HAM,
    challenge,
    dataverse,
    in_folder,
    jpeg,
    kaggle,
    left,
    prepare,
    text,
    zipped,
)


def without(files: dict[str, bytes], word: str) -> dict[str, bytes]:
    return {name: body for name, body in files.items() if word not in name}


def with_bytes(name: str, body: bytes) -> dict[str, bytes]:
    return {**kaggle(), name: body}


PART_1 = "HAM10000_images_part_1/" + HAM[0]["image_id"] + ".jpg"
WRONG_LABEL = text([*HAM[:-1], {**HAM[-1], "dx": "melanoma"}])
BAD_ZIP = zipped(FIRST)[:-30]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (without(kaggle(), "art_2"), "7 of the 14 images .* are not there .* holds both"),
        (without(kaggle(), "metadata"), "holds neither HAM10000_metadata"),
        (without(challenge(), "Groupings"), "without which images of one lesion would stand"),
        (with_bytes("HAM10000_metadata.csv", WRONG_LABEL), "row 15: dx is 'melanoma'"),
        (with_bytes("HAM10000_metadata.csv", text(HAM + HAM[:1])), "names the image .* twice"),
        (with_bytes("HAM10000_metadata.csv", text(HAM) + b"a,b\n"), "row 16: has 2 cells"),
        (with_bytes("HAM10000_metadata.csv", text(HAM)[:-9] + b"\xe9\n"), "is not UTF-8 text"),
        (with_bytes("HAM10000_metadata.csv", text(HAM) + b"x" * 200_000), "larger than field"),
        (with_bytes("old/HAM10000_metadata.csv", text(HAM[:3])), "could each be the table"),
        (with_bytes("small/" + HAM[0]["image_id"] + ".jpg", jpeg(99)[:-1]), "two different pict"),
        (without(with_bytes(PART_1, b"<html>"), "ham10000_"), "is no picture"),
        (with_bytes("more.zip", BAD_ZIP), r"more\.zip is damaged"),
        (with_bytes("more.zip", zipped({"../../evil.jpg": jpeg()})), "leads outside of it"),
        (with_bytes("more.zip", zipped({"/etc/evil.jpg": jpeg()})), "leads outside of it"),
        (with_bytes("more.zip", zipped({"C:\\evil.jpg": jpeg()})), "leads outside of it"),
        (with_bytes("more.zip", zipped({"a\\..\\..\\evil.jpg": jpeg()})), "leads outside of it"),
        ({}, "holds neither"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence_and_writes_nothing(tmp_path, files, sentence):
    (tmp_path / "mine").mkdir()
    place = in_folder(tmp_path / "mine", files)
    with pytest.raises(DermaSenseError, match=sentence) as failure:
        prepare("ham10000", place, tmp_path / "root")
    assert "\n" not in str(failure.value)
    root = tmp_path / "root"
    assert not root.exists() or left(root) == []
    assert left(tmp_path) in (["mine"], ["mine", "root"])


def test_a_wrong_byte_inside_a_zip_is_noticed_and_nothing_is_written(tmp_path):
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as archive:
        for name, body in FIRST.items():
            archive.writestr(name, body)
    raw = bytearray(stored.getvalue())
    at = raw.index(list(FIRST.values())[3]) + 200
    raw[at] ^= 0xFF
    files = dataverse() | {"HAM10000_images_part_1.zip": bytes(raw)}
    with pytest.raises(DermaSenseError, match="is damaged"):
        prepare("ham10000", in_folder(tmp_path / "mine", files), tmp_path / "root")
    assert left(tmp_path / "root") == []


def test_a_one_hot_row_with_two_classes_is_named(tmp_path):
    files = challenge()
    name = next(n for n in files if n.endswith("Training_GroundTruth.csv"))
    files[name] = files[name].replace(b"1.0,0.0", b"1.0,1.0", 1)
    with pytest.raises(DermaSenseError, match="row 2: 2 of the columns"):
        prepare("ham10000", in_folder(tmp_path / "mine", files), tmp_path / "root")


def test_no_room_is_said_before_anything_is_unpacked(tmp_path, monkeypatch):
    place = in_folder(tmp_path / "mine", dataverse())
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(assemble.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DermaSenseError, match="GB free"):
        prepare("ham10000", place, tmp_path / "root")


def test_what_is_there_is_counted_and_what_is_gone_from_it_noticed(tmp_path):
    ham, root = data_set("ham10000"), tmp_path / "root"
    assert assemble.already_there(ham, root) is None
    prepare("ham10000", in_folder(tmp_path / "mine", kaggle()), root)
    for name in (".DS_Store", "._a.jpg", "Thumbs.db"):  # what file managers leave
        (root / "images" / name).touch()
    assert assemble.already_there(ham, root) == 14
    with pytest.raises(DermaSenseError, match="holds ham10000 already"):
        assemble.already_there(data_set("ddi"), root)
    (root / "images" / f"{HAM[0]['image_id']}.jpg").unlink()
    with pytest.raises(DermaSenseError, match="14 images and now holds 13"):
        assemble.already_there(ham, root)
    (root / "prepared.json").write_text("{")
    with pytest.raises(DermaSenseError, match="is damaged"):
        assemble.already_there(ham, root)
    (tmp_path / "own" / "images").mkdir(parents=True)
    with pytest.raises(DermaSenseError, match="read it as it is"):
        assemble.already_there(ham, tmp_path / "own")
