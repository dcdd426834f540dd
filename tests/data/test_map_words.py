"""The map of classes that a message proposes: typed as it is, it says what it says."""

import csv
import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dermasense.data.class_map import map_classes
from dermasense.data.map_words import UNKNOWN, how_to_map, nearest_classes
from tests.data.test_combine import catalog

LABELS = (
    "melanoma", "Basal cell", "a/b", "melanoma (in situ)", "a, b", "x: y", "a=b", "0", "17", "None",
    "007", "1.0", "1e3", "true", "NaN", "Nävus", "Kaposi's", "a;b", 'a"b', "[q]", "a\\b", "$x",
    "ne ",
)  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
def test_what_is_proposed_is_read_as_it_was_meant(label, tmp_path):
    words = how_to_map("data", {label: "x", "wart": None})
    if words.startswith("'"):
        (word,) = shlex.split(words)
        (typed,) = OverridesParser.create().parse_overrides([word])
        mapping = typed.value()
    else:
        assert words.startswith("data.map=FILE.csv, a table with the columns label and class")
        rows = re.search(r"\(rows: (.*); (wart,)\)$", words).groups()
        assert list(csv.reader(rows)) == [[label, "x"], ["wart", ""]]
        mapping = str(tmp_path / "names.csv")
        (tmp_path / "names.csv").write_text("\n".join(["label,class", *rows]), encoding="utf-8")
    mapped = map_classes(catalog(tmp_path, "abc", [label.strip(), "y", "wart"]), mapping)
    assert mapped.frame["label"].tolist() == ["x", "y"]


def test_the_plain_labels_are_typed_and_the_others_stand_in_a_table():
    typed = [label for label in LABELS if how_to_map("data", {label: "x"}).startswith("'")]
    assert typed == list(LABELS[:10])
    assert "FILE.csv" in how_to_map("data", {"a": "Nävus"})


def test_a_label_is_the_class_of_its_letters_or_nobody_knows():
    classes = ("bcc", "melanoma", "actinic-keratosis")
    assert nearest_classes(["MELANOMA", "Actinic keratosis", "wart"], classes) == {
        "MELANOMA": "melanoma",
        "Actinic keratosis": "actinic-keratosis",
        "wart": UNKNOWN,
    }


@pytest.mark.parametrize(
    ("label", "classes", "nearest"),
    [
        ("Grade 1-", ("grade 1-", "grade 1+"), "grade 1-"),
        ("a+", ("A+", "A-"), "A+"),
        ("a+", ("A-",), UNKNOWN),
        ("<1mm", (">1mm",), UNKNOWN),
        ("grade 1", ("grade-1", "grade_1"), UNKNOWN),
        ("??", ("!!",), UNKNOWN),
    ],
)
def test_a_sign_that_tells_two_classes_apart_is_not_guessed_away(label, classes, nearest):
    assert nearest_classes([label], classes) == {label: nearest}


def test_a_label_with_a_comma_is_one_cell_of_the_rows():
    words = how_to_map("data", {"Nävus": "x", "a, b": None})
    assert words.endswith('(rows: Nävus,x; "a, b",)')
