"""Where pictures may come from, and what must not happen on the way."""

import errno
import os
import zipfile

import pandas as pd
import pytest
from PIL import Image

from dermasense.data.preprocess import FORMATS, UnreadableImage, read_rgb
from dermasense.errors import DermaSenseError
from dermasense.inference.image_sources import Images, UnreadableFile, open_images
from tests.fakes import noise


def names(place):
    return list(open_images(place).names)


def test_a_folder_is_searched_in_an_order_of_its_own(tmp_path):
    for name in ("b/2.jpg", "a.PNG", "b/10.jpg", ".hidden.jpg", "__MACOSX/x.jpg", ".git/y.jpg"):
        noise(tmp_path / name, seed=0)
    (tmp_path / "labels.csv").write_text("x")
    (tmp_path / "folder.jpg").mkdir()
    assert names(tmp_path) == ["a.PNG", "b/10.jpg", "b/2.jpg"]
    assert list(open_images(tmp_path).ids) == ["a", "10", "2"]
    noise(tmp_path / "c/2.jpg", seed=0)  # stems are no longer all different
    assert list(open_images(tmp_path).ids) == ["a.PNG", "b/10.jpg", "b/2.jpg", "c/2.jpg"]


def test_no_kind_of_picture_is_passed_over_in_silence(tmp_path):
    Image.init()
    endings = {ending for ending, name in Image.EXTENSION.items() if name in FORMATS}
    endings |= {".HEIC", ".heif", ".avif", ".dcm"}
    for ending in endings:
        (tmp_path / f"a{ending}").write_bytes(b"x")
    assert set(names(tmp_path)) == {f"a{ending}" for ending in endings}
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for name in ("a.jfif", "b.AVIF", "c", "d.txt", ".e.txt", "f/"):
            archive.writestr(name, b"x")
    images = open_images(tmp_path / "z.zip")
    assert list(images.names) == ["a.jfif", "b.AVIF"] and images.passed_over == ["c", "d.txt"]


@pytest.mark.parametrize("place", ["", "*"])
def test_what_cannot_be_opened_is_listed_and_the_rest_is_counted(tmp_path, place):
    noise(tmp_path / "elsewhere" / "1.png", seed=0)
    folder = tmp_path / "odd"
    noise(folder / "a.png", seed=0)
    (folder / "broken.jpg").symlink_to(tmp_path / "nowhere")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe.jpg")
    (folder / ".DS_Store").write_text("x")
    if not place:
        (folder / "notes.txt").write_text("x")
    images = open_images(folder / place)
    assert [name.rpartition("/")[2] for name in images.names] == [
        "a.png", "broken.jpg", "pipe.jpg"
    ]  # fmt: skip
    assert [name.rpartition("/")[2] for name in images.passed_over] == (
        ["linked"] if place else ["linked", "notes.txt"]
    )
    for row, words in ((1, "no such file"), (2, "no regular file but a pipe")):
        with pytest.raises(UnreadableImage, match=words):
            read_rgb(images.source(row))
    assert not open_images(tmp_path / "**" / "*.png").passed_over


def test_a_folder_that_cannot_be_listed_is_among_what_cannot_be_read(tmp_path, monkeypatch):
    noise(tmp_path / "a.png", seed=0)
    noise(tmp_path / "secret" / "b.png", seed=0)
    listing = os.scandir

    def forbid(folder):
        if os.fspath(folder).endswith("secret"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(folder))
        return listing(folder)

    monkeypatch.setattr(os, "scandir", forbid)
    images = open_images(tmp_path)
    assert list(images.names) == ["a.png", "secret"]
    with pytest.raises(UnreadableImage, match="secret: is a folder"):
        read_rgb(images.source(1))
    with pytest.raises(PermissionError):
        open_images(tmp_path / "secret")


def test_a_file_and_a_pattern(tmp_path):
    for name in ("1.jpg", "2.jpg", "3.png"):
        noise(tmp_path / name, seed=0)
    assert list(open_images(tmp_path / "1.jpg").ids) == ["1"]
    assert list(open_images(f"{tmp_path}/*.jpg").ids) == ["1", "2"]
    assert list(open_images(f"{tmp_path}/**/*.*").ids) == ["1", "2", "3"]


def test_a_table_gives_paths_and_ids(tmp_path):
    noise(tmp_path / "p" / "1.jpg", seed=0)
    table = tmp_path / "t.csv"
    table.write_text(f"image_id,path,label\nx,p/1.jpg,mel\ny,{tmp_path}/p/none.jpg,nv\n")
    images = open_images(table)
    assert list(images.ids) == ["x", "y"]
    assert read_rgb(images.source(0)).size == (32, 32)
    with pytest.raises(UnreadableImage, match="no such file"):
        read_rgb(images.source(1))
    table.write_text("image_id,path\nx,p/1.jpg\nx,p/2.jpg\n")
    with pytest.raises(DermaSenseError, match="'x' stands in more than one row"):
        open_images(table)
    table.write_text("image_id,dx\nx,mel\n")
    with pytest.raises(DermaSenseError, match="no column of paths"):
        open_images(table)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_picture_without_an_id_is_called_by_its_row(tmp_path, ending):
    place = tmp_path / f"t.{ending}"
    frame = pd.DataFrame({"image_id": [None, "x", None], "path": ["a.jpg", "b.jpg", "c.jpg"]})
    if ending == "csv":
        frame.to_csv(place, index=False)
    else:
        frame.to_parquet(place)
    assert list(open_images(place).ids) == ["row 2", "x", "row 4"]


def test_the_fingerprint_tells_other_content_of_the_same_size(tmp_path):
    noise(tmp_path / "1.png", seed=0)
    found = []
    for date in (0, 1):
        os.utime(tmp_path / "1.png", (date, date))
        found.append(open_images(tmp_path).fingerprint())
    for content in (b"a", b"b"):
        with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
            archive.writestr("1.png", content)
        found.append(open_images(tmp_path / "z.zip").fingerprint())
    assert len(set(found)) == 4


def test_a_zip_is_read_without_unpacking_and_its_names_lead_nowhere(tmp_path):
    noise(tmp_path / "in" / "1.png", seed=0)
    content = (tmp_path / "in" / "1.png").read_bytes()
    path = tmp_path / "in" / "z.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for name in ("a/1.png", "../../evil.png", "/etc/evil.png", "a/1.png", "__MACOSX/._1.png"):
            archive.writestr(name, content)
    images = open_images(path)
    assert list(images.names) == ["../../evil.png", "/etc/evil.png", "a/1.png", "a/1.png (2)"]
    assert all(images.source(row) == content for row in range(4))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["1.png", "in", "z.zip"]


def test_parts_of_a_zip_share_one_listing_until_the_zip_changes(tmp_path):
    place = str(tmp_path / "z.zip")

    def parts(*contents):
        with zipfile.ZipFile(place, "w") as archive:
            for number, content in enumerate(contents):
                archive.writestr(f"{number}.png", content)
        rows = range(len(contents))
        return [Images.listed(place, [row], [str(row)], [str(row)], [None]) for row in rows]

    first, second = parts(b"a", b"b")
    assert first.source(0) == b"a" and second.source(0) == b"b"
    assert first._archive is second._archive
    changed = parts(b"c", b"d", b"e")
    assert [part.source(0) for part in changed] == [b"c", b"d", b"e"]
    (tmp_path / "z.zip").unlink()
    with pytest.raises(DermaSenseError, match="no such file or folder"):
        Images.listed(place, [0], ["0"], ["0"], [None])


def test_a_zip_bomb_and_a_damaged_member_are_refused_before_memory_fills(tmp_path, monkeypatch):
    monkeypatch.setattr("dermasense.inference.image_sources._MEMBER_LIMIT", 1000)
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", b"0" * 100_000)
        archive.writestr("good.png", b"1" * 900)
    with pytest.raises(UnreadableFile, match="100,000 bytes unpacked"):
        open_images(path).source(0)
    content = bytearray(path.read_bytes())
    at = content.find(b"good.png") + len("good.png") + 2
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="cannot be unpacked"):
        open_images(path).source(1)


@pytest.mark.parametrize("name", ["empty", "none.jpg", "none/*.jpg", "broken.zip"])
def test_no_picture_is_one_sentence(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with pytest.raises(DermaSenseError, match=name.split(".")[0].split("/")[0]) as caught:
        open_images(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_the_fingerprint_changes_with_names_sizes_and_dates(tmp_path):
    noise(tmp_path / "1.png", seed=0)
    first = open_images(tmp_path).fingerprint()
    assert open_images(tmp_path).fingerprint() == first
    noise(tmp_path / "1.png", seed=1, side=40)
    second = open_images(tmp_path).fingerprint()
    noise(tmp_path / "2.png", seed=1)
    assert len({first, second, open_images(tmp_path).fingerprint()}) == 3


def test_names_that_are_no_utf8_are_read_and_have_ids_that_differ(tmp_path):
    noise(tmp_path / "1.png", seed=0)
    for name in (b"/\xff.png", b"/\xfe.png"):
        with open(bytes(tmp_path) + name, "wb") as file:
            file.write((tmp_path / "1.png").read_bytes())
    images = open_images(tmp_path)
    assert list(images.ids) == ["1", "\\xfe", "\\xff"]
    assert read_rgb(images.source(1)).size == (32, 32)
