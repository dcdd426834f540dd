"""Another tool's CSV: the same numbers as our own table, or one sentence on what is wrong."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.probabilities_csv import read_labels, read_probabilities

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.0, 0.0, 1.0]])


def theirs(tmp_path, **columns):
    frame = pd.DataFrame(PROBABILITIES, columns=["MEL", "NV", "BCC"])
    frame.insert(0, "image", ["i1", "i2", "i3"])
    path = tmp_path / "theirs.csv"
    frame.assign(**columns).to_csv(path, index=False)
    return path


def truth(labels=("mel", "nv", "bcc")):
    ids = ["i3", "i2", "i1"]  # another order than the table's
    return pd.DataFrame({"image_id": ids, "label": list(labels)[::-1], "group": ["a", "a", "b"]})


def test_images_and_classes_are_matched_by_name(tmp_path):
    table = read_probabilities(theirs(tmp_path), truth())
    assert table.class_names == ("mel", "nv", "bcc")
    assert list(table.frame["label"]) == ["mel", "nv", "bcc"]
    assert list(table.frame["group"]) == ["b", "a", "a"]
    assert softmax(table.logits, axis=1) == pytest.approx(PROBABILITIES, abs=1e-6)
    assert np.isfinite(table.logits).all()


def test_logits_are_taken_as_they_are(tmp_path):
    logits = np.array([[3.0, -2.0], [0.5, 9.0]])
    frame = pd.DataFrame(logits, columns=["logit_b", "logit_a"])
    frame = frame.assign(image_id=["x", "y"], label=["a", "b"], age=[40, 50])
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_probabilities(tmp_path / "t.csv")
    assert table.class_names == ("b", "a")
    assert log_softmax(table.logits, axis=1) == pytest.approx(log_softmax(logits, axis=1))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"NV": [0.2, np.nan, 0.0]}, "row 3, column NV is empty, not a finite number"),
        ({"NV": [0.2, "inf", 0.0]}, "row 3, column NV is 'inf'"),
        ({"NV": [0.2, 0.9, 0.0]}, "image i2 (row 3) add up to 1.3 instead of 1 (1 such rows)"),
        ({"NV": [0.2, -0.6, 0.0]}, "image i2 (row 3) has the value -0.6, which is no probability"),
        ({"age": [40, 50, 60]}, "the value 40, which is no probability"),
        ({"NV": ["20 %", "60 %", "0 %"]}, "row 2, column NV is '20 %', not a finite number"),
        ({"NV": ["0,2", "0,6", "0,0"]}, "row 2, column NV is '0,2', not a finite number"),
        (
            {"MEL": [70, 10, 0], "NV": [20, 60, 0], "BCC": [10, 30, 100]},
            "row adds up to 100: these are percentages; divide them by 100",
        ),
        ({"image": ["i1", "i2", "i2"]}, "image_id i2 stands in more than one row"),
        ({"image": ["i1", "i2", "i9"]}, "1 of its 3 images have no label, the first is i9"),
    ],
)
def test_a_bad_table_is_one_sentence(tmp_path, columns, sentence):
    with pytest.raises(DermaSenseError) as error:
        read_probabilities(theirs(tmp_path, **columns), truth())
    assert sentence in str(error.value) and "theirs.csv: " in str(error.value)


def test_a_column_that_stands_twice_and_a_table_without_rows_are_named(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("image_id,label,a,a,b\n1,a,.5,.5,0\n")
    with pytest.raises(DermaSenseError, match=r"theirs.csv: has two columns 'a'"):
        read_probabilities(path)
    path.write_text("image_id,label,,,b\n1,a,.5,.5,0\n")  # without a name, which tables may have
    with pytest.raises(DermaSenseError, match=r"theirs.csv: a column without a name stands twice"):
        read_probabilities(path)
    path.write_text("image_id,label,a,b\n")
    for read in (read_probabilities, read_labels):
        with pytest.raises(DermaSenseError, match=r"theirs.csv: it has a header and no rows"):
            read(path)


def test_a_missing_class_column_is_named(tmp_path):
    with pytest.raises(DermaSenseError, match="no column for the class df, which 1 of its images"):
        read_probabilities(theirs(tmp_path), truth(("df", "nv", "bcc")))


def test_a_column_of_folds_is_no_class(tmp_path):
    table = read_probabilities(theirs(tmp_path, fold=[0, 0, 0]), truth())
    assert table.class_names == ("mel", "nv", "bcc")


def test_without_labels_it_says_what_to_add(tmp_path):
    with pytest.raises(DermaSenseError, match="add labels=<csv"):
        read_probabilities(theirs(tmp_path))


OWN = ["NV", "NV", "BCC"]
LONE = [f"image i{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("columns", "by_labels", "beside", "labels", "groups"),
    [
        ({"dx": OWN}, None, True, ["nv", "nv", "bcc"], ["b", "a", "a"]),
        ({"dx": OWN, "lesion_id": ["x", "y", "y"]}, None, True, ["nv", "nv", "bcc"], list("baa")),
        ({"dx": OWN, "lesion_id": ["x", "y", "y"]}, None, False, OWN, ["x", "y", "y"]),
        ({"dx": OWN}, None, False, OWN, LONE),
        ({"dx": ["NV", None, None]}, None, True, ["mel", "nv", "bcc"], ["b", "a", "a"]),
        ({"dx": ["NV", "NA", "BCC"]}, None, True, ["mel", "nv", "bcc"], ["b", "a", "a"]),
        ({"dx": OWN, "lesion_id": ["x", "NA", "NA"]}, None, False, OWN, ["x", *LONE[1:]]),
        ({}, None, True, ["mel", "nv", "bcc"], ["b", "a", "a"]),
        ({"dx": OWN}, "grouped", False, ["mel", "nv", "bcc"], ["b", "a", "a"]),
        ({"lesion_id": ["x", "y", "y"]}, "alone", False, ["mel", "nv", "bcc"], ["x", "y", "y"]),
        ({"lesion_id": ["x", "y", "y"]}, "alone", True, ["mel", "nv", "bcc"], ["b", "a", "a"]),
        ({}, "alone", False, ["mel", "nv", "bcc"], LONE),
    ],
)
def test_whose_labels_and_lesions_are_taken(tmp_path, columns, by_labels, beside, labels, groups):
    told = truth()
    if by_labels == "alone":
        told = told.assign(group="image " + told["image_id"])
    table = read_probabilities(
        theirs(tmp_path, **columns), told if by_labels else None, truth() if beside else None
    )
    assert list(table.frame["label"]) == labels
    assert list(table.frame["group"]) == groups


def test_what_another_table_does_not_know_is_not_taken_from_it(tmp_path):
    file = theirs(tmp_path, dx=OWN, lesion_id=["x", "y", "y"])
    bare = truth().assign(group="image " + truth()["image_id"])
    for known in (bare, truth().iloc[:2]):  # no lesions, or those of some images only
        assert list(read_probabilities(file, known=known).frame["group"]) == ["x", "y", "y"]
    elsewhere = truth().assign(image_id=["j1", "j2", "j3"])
    holed = theirs(tmp_path, dx=["NV", None, "BCC"])
    with pytest.raises(DermaSenseError, match=r"[Rr]ow \d+ has no label"):
        read_probabilities(holed, known=elsewhere)


def test_labels_are_read_as_names_or_one_hot(tmp_path):
    path = tmp_path / "truth.csv"
    pd.DataFrame({"image": ["a", "b"], "MEL": [1, 0], "NV": [0, 1]}).to_csv(path, index=False)
    frame = read_labels(path)
    assert list(frame["label"]) == ["MEL", "NV"] and list(frame["group"]) == ["image a", "image b"]
    pd.DataFrame({"image_id": ["a"], "dx": ["nv"], "lesion_id": ["L"]}).to_csv(path, index=False)
    assert read_labels(path).to_dict("records") == [{"image_id": "a", "label": "nv", "group": "L"}]


def test_whole_numbers_as_labels_lose_the_point_that_gaps_gave_them(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("image_id,label\na,0.0\nb,1.0\n")
    assert list(read_labels(path)["label"]) == ["0", "1"]
    path.write_text("image_id,label\na,173.0\nb,173.1\n")  # a code
    assert list(read_labels(path)["label"]) == ["173.0", "173.1"]
    path.write_text("image_id,label,prob_0,prob_1\na,0.0,.9,.1\nb,1.0,.2,.8\n")
    assert list(read_probabilities(path).labels) == [0, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image_id,age\na,3\n", "has no column of labels"),
        ("picture,dx\na,nv\n", "no column of image names"),
        ("image_id,dx\na,nv\na,mel\n", "image a stands in more than one row"),
        ("image_id,dx\na,nv\nb,\n", r"row 3 has no label \(1 such rows\); fill it in, or remove"),
        ("image_id,dx\na,nv\nb,NA\nc,NA\n", r"row 3 has no label \('NA' counts as none; 2 such"),
    ],
)
def test_bad_labels_are_one_sentence(tmp_path, text, sentence):
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(DermaSenseError, match=sentence):
        read_labels(tmp_path / "truth.csv")
