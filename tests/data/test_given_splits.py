"""Splits that come with the data are taken as they are, or refused with the groups named."""

import pandas as pd
import pytest

from dermasense.data.catalog import Catalog
from dermasense.data.given_splits import given_split
from dermasense.errors import DermaSenseError

CYCLE = ("train", "train", "val", "test")


def catalog(values, column="split", groups=None, labels=None):
    n = len(values)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(n)],
            "path": "",
            "label": labels or [("mel", "nv")[i // 4 % 2] for i in range(n)],
            "group": groups or [f"g{i}" for i in range(n)],
            "origin": [f"t.csv row {i + 2}" for i in range(n)],
            column: values,
        }
    )
    return Catalog("test", frame, ("mel", "nv"), (), "", "")


def split(catalog, by="column", **options):
    return given_split(catalog, by=by, **{"seed": 0, "val_share": 0.25} | options)


def test_the_column_is_the_split():
    given = split(catalog(CYCLE * 4))
    assert given.parts.tolist() == list(CYCLE) * 4 and not given.leaky and given.notes == ()


@pytest.mark.parametrize("words", [("Training", "train", "dev", "TEST"), (" train ",) * 2])
def test_other_words_for_the_parts(words):
    words = (*words, "valid", "testing")[:4] if len(words) == 2 else words
    assert split(catalog(list(words) * 4)).parts.tolist() == list(CYCLE) * 4


def test_without_a_validation_part_a_grouped_share_of_training_becomes_it():
    groups = [f"g{i // 2}" for i in range(48)]
    data = catalog((["train"] * 8 + ["test"] * 8) * 3, groups=groups)
    given = split(data)
    assert set(given.parts) == {"train", "val", "test"}
    assert (given.parts.to_numpy() == "test").tolist() == (data.frame["split"] == "test").tolist()
    assert given.parts.groupby(data.frame["group"]).nunique().max() == 1
    assert given.notes == ("validation: 25% of the training images, whole groups",)
    assert split(data, seed=0).parts.equals(given.parts)


def test_crossing_groups_are_named_or_called_leaky():
    data = catalog(CYCLE * 4, groups=["a", "b", "a", "c", *[f"g{i}" for i in range(12)]])
    with pytest.raises(DermaSenseError, match=r"1 group stands in more than one split \(a\)"):
        split(data)
    assert split(data, allow_leak=True).leaky


def test_rows_without_a_part_are_refused_or_for_training_where_the_test_set_is_its_own():
    data = catalog([None] * 16 + ["test"] * 8)
    with pytest.raises(DermaSenseError, match=r"t\.csv row 2: no split \(16 such rows\)"):
        split(data)
    given = split(data, by="own")
    assert (given.parts[:16].isin(["train", "val"])).all() and (given.parts[16:] == "test").all()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"test_fold": 2, "val_fold": 0}, {"2": "test", "0": "val", "10": "train"}),
        ({"test_fold": "10", "val_fold": "2"}, {"10": "test", "2": "val", "0": "train"}),
        ({"val_fold": 10}, {"0": "test", "10": "val", "2": "train"}),  # 10 comes after 2
    ],
)
def test_folds_by_name(options, parts):
    folds = ["0", "2", "10"] * 8
    given = split(catalog(folds, "fold"), **options)
    assert given.parts.tolist() == [parts[fold] for fold in folds]


def test_a_file_is_joined_by_image_id(tmp_path):
    data = catalog(CYCLE * 4)
    rows = [f"i{i},{CYCLE[(i + 1) % 4]}" for i in reversed(range(16))]
    (tmp_path / "s.csv").write_text("\n".join(["image_id,split", *rows, "other,test"]))
    given = split(data, file=str(tmp_path / "s.csv"))
    assert given.parts.tolist() == [CYCLE[(i + 1) % 4] for i in range(16)]
    assert "1 rows of" in given.notes[0] and "not in the data" in given.notes[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image_id,split\ni0,train\n", "15 of 16 images are not in it .first: i1."),
        ("image_id,split\ni0,train\ni0,test\n", "image_id 'i0' stands in it twice"),
        ("image_id,part\ni0,train\n", "has no column split or fold"),
        ("id,split\ni0,train\n", "has no column 'image_id'"),
        (None, "no such file"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path, text, words):
    if text:
        (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DermaSenseError, match=words):
        split(catalog(CYCLE * 4), file=str(tmp_path / "s.csv"))


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (["train", "hold-out"] * 8, {}, r"t\.csv row 3: split 'hold-out' is none of train, val"),
        (["train", "val"] * 8, {}, "has no test images"),
        (["test"] * 16, {}, "has no train images"),
        ((["test"] * 4 + ["train"] * 2 + ["val"] * 2) * 2, {}, "no training images of mel"),
        (CYCLE * 4, {"column": "fold"}, "has no column fold"),
        (CYCLE * 4, {"column": "splt"}, "did you mean 'split'"),
        (["train", "test"] * 8, {"val_share": 1.5}, "val_share=1.5 must be above 0"),
    ],
)
def test_what_is_no_split_is_one_sentence(values, options, words):
    with pytest.raises(DermaSenseError, match=words):
        split(catalog(values), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test_fold": 7}, "split.test_fold=7 is no fold"),
        ({"test_fold": 1, "val_fold": 1}, "val_fold=1 is the test fold"),
    ],
)
def test_mistaken_folds_are_one_sentence(options, words):
    with pytest.raises(DermaSenseError, match=words):
        split(catalog(["0", "1", "2", "3"] * 4, "fold"), **options)


def test_a_class_that_a_part_lacks_is_said():
    labels = ["nv" if i % 4 == 3 else ("mel", "nv")[i // 4 % 2] for i in range(16)]
    assert split(catalog(CYCLE * 4, labels=labels)).notes == ("test has no images of mel",)
