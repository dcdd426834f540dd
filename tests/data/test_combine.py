"""Class names exchanged, and several catalogs as one without a picture under two names."""

from dataclasses import replace

import pandas as pd
import pytest

from dermasense.data.catalog import LESIONS, NAMED, NEAR_DUPLICATES, NONE_KNOWN, SOME_KNOWN, Catalog
from dermasense.data.class_map import map_classes
from dermasense.data.combine import combine, with_test_set
from dermasense.data.sources import concat
from dermasense.errors import DermaSenseError


def catalog(root, ids, labels, groups=None, name="test", ending=".jpg", **attributes):
    """A catalog of files whose bytes are their paths, in a folder of this name."""
    root.mkdir(exist_ok=True, parents=True)
    paths = [root / f"{each}{ending}" for each in ids]
    for path in paths:
        if not path.exists():
            path.write_text(str(path))
    frame = pd.DataFrame(
        {
            "image_id": list(ids),
            "path": [str(path) for path in paths],
            "label": labels,
            "group": groups or list(ids),
            "origin": [f"t.csv row {i + 2}" for i in range(len(ids))],
            **attributes,
        }
    )
    classes = tuple(sorted({label for label in labels if label}))
    return Catalog(name, frame, classes, tuple(attributes), f"licence of {name}", name)


def test_labels_are_exchanged_at_once_and_classes_keep_their_places(tmp_path):
    mapped = map_classes(catalog(tmp_path, "abc", ["x", "y", "z"]), {"x": "y", "y": "x"})
    assert mapped.frame["label"].tolist() == ["y", "x", "z"]
    assert mapped.class_names == ("y", "x", "z")


def test_two_classes_are_joined_and_one_is_left_out_and_counted(tmp_path):
    start = catalog(tmp_path, "abcd", ["mel", "melanoma", "wart", None])
    mapped = map_classes(start, {"melanoma": "mel", "wart": None})
    assert mapped.class_names == ("mel",)
    assert mapped.frame["image_id"].tolist() == ["a", "b", "d"]  # no label is reported, not lost
    assert mapped.note == "left out by data.map: 'wart' (1 images)"
    assert mapped.frame.index.tolist() == [0, 1, 2]


def test_numbers_and_truth_values_of_yaml_are_labels(tmp_path):
    start = catalog(tmp_path, "ab", ["0", "true"])
    assert map_classes(start, {0: "benign", True: 1}).class_names == ("benign", "1")


@pytest.mark.parametrize(
    ("kinds", "together"),
    [
        ((LESIONS, LESIONS), LESIONS),
        ((LESIONS, NAMED), NAMED),
        ((NONE_KNOWN, NONE_KNOWN), NONE_KNOWN),
        ((LESIONS, NONE_KNOWN), SOME_KNOWN),
        ((LESIONS, NEAR_DUPLICATES), SOME_KNOWN),
    ],
)
def test_what_the_groups_of_all_are(tmp_path, kinds, together):
    parts = {
        name: replace(catalog(tmp_path / name, name, ["x"]), groups_are=kind)
        for name, kind in zip("ab", kinds, strict=True)
    }
    assert combine(parts).groups_are == together


def test_an_unknown_name_in_the_map_is_one_sentence(tmp_path):
    with pytest.raises(DermaSenseError, match=r"data\.map: no image has the label 'melonoma'") as e:
        map_classes(catalog(tmp_path, "a", ["melanoma"]), {"melonoma": "mel"})
    assert "did you mean 'melanoma'?" in str(e.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label,class\na,x\na,y\n", r"row 3: the label 'a' stands in it twice"),
        ("label,class\na,x\n,y\n", r"row 3: no label; mend or remove the row"),
        ("label,name\na,x\n", r"has no column 'class'"),
        ("label,class\nb,x\n", r"no image has the label 'b'"),
        (None, r"expected new names by label, .* or a table of them with the columns label"),
    ],
)
def test_a_table_of_names_that_is_none_is_one_sentence(tmp_path, text, words):
    file = tmp_path / "names.csv"
    if text:
        file.write_text(text)
    with pytest.raises(DermaSenseError, match=words):
        map_classes(catalog(tmp_path, "a", ["a"]), str(file))


def test_the_labels_that_are_no_class_are_all_in_the_map_that_is_proposed(tmp_path):
    a = catalog(tmp_path / "a", "123", ["bcc", "mel", "nv"])
    b = catalog(tmp_path / "b", "456", ["MEL", "wart (flat)", "nv"])
    words = r"'data\.sources\.b\.map=\{MEL: mel, wart \\\(flat\\\): <class>\}'; null"
    with pytest.raises(DermaSenseError, match=words):
        combine({"a": a, "b": b})


def test_rows_attributes_and_origins_stand_side_by_side(tmp_path):
    a = catalog(tmp_path / "a", ["1", "2"], ["mel", "nv"], name="A", age=[40.0, 50.0])
    b = catalog(tmp_path / "b", ["3"], ["nv"], name="B", sex=["male"])
    both = combine({"a": a, "b": b})
    frame = both.frame
    assert both.attributes == ("age", "sex", "source") and both.name == "A+B"
    assert frame["age"].dtype == float and frame["age"].isna().tolist() == [False, False, True]
    assert frame["source"].tolist() == ["a", "a", "b"]
    assert frame["origin"][2] == "b: t.csv row 2" and both.licence == "licence of A; licence of B"


def test_a_column_of_numbers_here_and_text_there_becomes_text(tmp_path):
    a = catalog(tmp_path / "a", ["1"], ["nv"], age=[40.0])
    b = catalog(tmp_path / "b", ["2"], ["nv"], age=["old"])
    assert combine({"a": a, "b": b}).frame["age"].tolist() == ["40.0", "old"]


def test_the_same_id_in_two_sources_is_the_same_picture(tmp_path):
    a = catalog(tmp_path / "a", ["ISIC_1", "ISIC_2"], ["nv", "nv"], ["L1", "L2"])
    b = catalog(tmp_path / "b", ["ISIC_1", "ISIC_3"], ["nv", "nv"], ["M1", "M3"])
    frame = combine({"a": a, "b": b}).frame
    assert frame["image_id"].tolist() == ["a/ISIC_1", "ISIC_2", "b/ISIC_1", "ISIC_3"]
    assert frame["group"].tolist() == ["L1", "L2", "L1", "M3"]


def test_the_same_file_name_in_two_sources_says_nothing(tmp_path):
    a = catalog(tmp_path / "a", ["1.jpg"], ["nv"], ending="")
    b = catalog(tmp_path / "b", ["1.jpg"], ["nv"], ending="")
    frame = combine({"a": a, "b": b}).frame
    assert frame["image_id"].tolist() == frame["group"].tolist() == ["a/1.jpg", "b/1.jpg"]


def test_the_same_bytes_in_two_sources_join_the_groups_of_both(tmp_path):
    a = catalog(tmp_path / "a", ["1", "2"], ["nv", "nv"], ["L1", "L1"])
    b = catalog(tmp_path / "b", ["3", "4"], ["nv", "nv"], ["M3", "M4"])
    (tmp_path / "b" / "3.jpg").write_bytes((tmp_path / "a" / "2.jpg").read_bytes())
    assert combine({"a": a, "b": b}).frame["group"].tolist() == ["L1", "L1", "L1", "M4"]


def test_a_group_name_in_two_sources_is_one_lesion_unless_said_otherwise(tmp_path):
    a = catalog(tmp_path / "a", ["1"], ["nv"], ["p1"])
    b = catalog(tmp_path / "b", ["2"], ["nv"], ["p1"])
    assert combine({"a": a, "b": b}).frame["group"].tolist() == ["p1", "p1"]
    apart = combine({"a": a, "b": b}, shared_groups=False).frame["group"].tolist()
    assert apart == ["a/p1", "b/p1"]


def test_labels_that_are_no_class_are_named_with_their_source(tmp_path):
    a = catalog(tmp_path / "a", ["1", "2"], ["mel", "nv"])
    b = catalog(tmp_path / "b", ["3", "4", "5"], ["naevus", "wart", "wart"])
    with pytest.raises(DermaSenseError) as caught:
        combine({"a": a, "b": b})
    assert "data.sources.b: 'naevus' (1 images), 'wart' (2 images) is none of" in str(caught.value)
    assert combine({"a": a, "b": b}, ("mel", "nv", "naevus", "wart")).class_names[-1] == "wart"


def test_a_test_set_is_marked_and_lends_no_licence(tmp_path):
    a = catalog(tmp_path / "a", ["1", "2"], ["mel", "nv"], name="A")
    test = replace(catalog(tmp_path / "b", ["3"], ["nv"], name="B"), evaluation_only=True)
    both = with_test_set(a, test)
    assert both.frame["split"].fillna("").tolist() == ["", "", "test"]
    assert (both.name, both.licence, both.evaluation_only) == ("A", "licence of A", False)
    assert both.class_names == ("mel", "nv") and "a set of its own: B" in both.note


def test_an_evaluation_set_is_no_source_of_training(tmp_path, monkeypatch):
    test = replace(catalog(tmp_path, ["1"], ["nv"], name="isic2018"), evaluation_only=True)
    monkeypatch.setattr(concat, "load_catalog", lambda *_, **__: test)
    with pytest.raises(DermaSenseError, match=r"split=own data@split\.test=isic2018"):
        concat.catalog({"a": {}, "b": {}})


@pytest.mark.slow
def test_ham10000_and_its_external_test_set_share_nothing(real_data):
    from dermasense.data.sources import ham10000, isic2018

    train = ham10000.catalog(str(real_data("ham10000")))
    both = with_test_set(train, isic2018.catalog(str(real_data("isic2018_external"))))
    frame = both.frame
    assert len(frame) == 10_015 + 752 and frame["group"].nunique() == 7_470 + 752
    assert frame.groupby("group")["split"].nunique().max() == 1


def test_a_stranger_in_the_training_table_is_named_by_an_option_that_exists(tmp_path):
    train = catalog(tmp_path / "a", "xyz", ["mel", "nv", "wart"], name="csv")
    train = replace(train, class_names=("mel", "nv"))
    test = catalog(tmp_path / "b", "pq", ["mel", "nv"])
    with pytest.raises(DermaSenseError, match=r"^data: 'wart' .*'data\.map=\{wart: <class>\}'"):
        with_test_set(train, test)
