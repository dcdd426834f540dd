"""Links and names that lead out of the data's folder, or round in it: refused, or asked for."""

import os

import pytest

from dermasense.data.sources import csv, folder
from dermasense.errors import DermaSenseError
from tests.fakes import noise


@pytest.mark.parametrize("target", [".", "../nv", "nested"])
def test_a_link_to_a_folder_that_is_read_already_is_named(two_classes, target):
    (two_classes / "mel" / "nested").mkdir()
    os.symlink(target, two_classes / "mel" / "z_again")
    with pytest.raises(DermaSenseError, match="is a link to a folder that is read already"):
        folder.catalog(str(two_classes))


@pytest.mark.parametrize("place", ["mel/more", "mel/0_a.png"])
def test_a_link_that_leads_out_is_followed_only_where_asked(two_classes, tmp_path, place):
    noise(tmp_path / "elsewhere" / "a.png", seed=1)
    target = tmp_path / "elsewhere"
    os.symlink(target if place == "mel/more" else target / "a.png", two_classes / place)
    with pytest.raises(DermaSenseError, match=rf"{place}.* leads out of .*follow_links=true"):
        folder.catalog(str(two_classes))
    names = folder.catalog(str(two_classes), follow_links=True).frame["image_id"].tolist()
    assert ("mel/more/a.png" if place == "mel/more" else place) in names


def test_the_folder_itself_may_be_a_link(two_classes, tmp_path):
    os.symlink(two_classes, tmp_path / "link")
    os.symlink(two_classes / "nv" / "1.png", two_classes / "mel" / "inside.png")
    assert len(folder.catalog(str(tmp_path / "link")).frame) == 13


def test_what_the_user_names_may_have_dots_in_it(two_classes, tmp_path):
    noise(tmp_path / "pictures" / "a.png", seed=1)
    (two_classes / "labels.csv").write_text("path,label\na.png,mel\n")
    dotted = two_classes / ".." / two_classes.name
    for frame in (
        csv.catalog(str(dotted), images="../pictures").frame,
        folder.catalog(str(dotted)).frame,
    ):
        assert all(os.path.isfile(path) for path in frame["path"])


@pytest.mark.timeout(20)
def test_a_link_to_the_whole_machine_is_refused_before_it_is_listed(two_classes):
    os.symlink("/", two_classes / "mel" / "all")
    with pytest.raises(DermaSenseError, match=r"mel/all .* leads out of"):
        folder.catalog(str(two_classes))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../secret.png", "leads out of .* by '..'"),
        ("sub/../../secret.png", "leads out of .* by '..'"),
        ("out/a.png", "in, a link that leads out"),
        ("one.png", "a link that leads out"),
        ("one", "a link that leads out"),
    ],
)
def test_a_table_reaches_no_picture_outside(two_classes, tmp_path, name, words):
    noise(two_classes / "secret.png", seed=2)
    noise(tmp_path / "elsewhere" / "a.png", seed=1)
    place = two_classes / "mel"
    os.symlink(tmp_path / "elsewhere", place / "out")
    os.symlink(tmp_path / "elsewhere" / "a.png", place / "one.png")
    (place / "labels.csv").write_text(f"path,label\n1.png,mel\n{name},nv\n")
    with pytest.raises(DermaSenseError, match=rf"labels.csv row 3: '{name}' .*{words}"):
        csv.catalog(str(place))
    if ".." not in name:
        assert len(csv.catalog(str(place), follow_links=True).frame) == 2


def test_a_folder_of_pictures_may_be_a_link_and_a_path_absolute(two_classes, tmp_path):
    noise(tmp_path / "elsewhere" / "a.png", seed=1)
    os.symlink(tmp_path / "elsewhere", two_classes / "images")
    whole = two_classes / "nv" / "1.png"
    (two_classes / "labels.csv").write_text(f"path,label\na.png,mel\n{whole},nv\n")
    frame = csv.catalog(str(two_classes), images="images").frame
    assert frame["path"].tolist() == [str(two_classes / "images" / "a.png"), str(whole)]


def test_a_folder_whose_name_begins_alike_is_outside(two_classes):
    place = two_classes / "mel"
    noise(two_classes / "mel_of_others" / "a.png", seed=1)
    (place / "labels.csv").write_text("path,label\n../mel_of_others/a.png,nv\n")
    for followed in (False, True):
        with pytest.raises(DermaSenseError, match=r"leads out of .* by '\.\.'"):
            csv.catalog(str(place), follow_links=followed)
    os.symlink(two_classes / "mel_of_others", place / "out")
    (place / "labels.csv").write_text("path,label\nout/a.png,nv\n")
    with pytest.raises(DermaSenseError, match="in, a link that leads out"):
        csv.catalog(str(place))
