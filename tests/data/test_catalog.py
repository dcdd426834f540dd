"""Everything wrong with a catalog is found, told with file and row, and told at once."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from dermasense.data.catalog import (
    Catalog,
    check,
    fail_on,
    home_class,
    own_groups,
    read_table,
    units_per_class,
)
from dermasense.errors import DermaSenseError


@pytest.fixture
def catalog(tmp_path):
    rows = []
    for i in range(12):
        path = tmp_path / f"{i}.jpg"
        path.touch()
        label = "mel" if i < 6 else "nv"
        rows.append((f"id{i}", str(path), label, f"lesion{i // 2}", f"table.csv row {i + 2}"))
    frame = pd.DataFrame(rows, columns=["image_id", "path", "label", "group", "origin"])
    return Catalog("test", frame, ("mel", "nv"), (), "none", "none")


def changed(catalog, row, column, value):
    frame = catalog.frame.copy()
    frame.loc[row, column] = value
    return replace(catalog, frame=frame)


def test_a_good_catalog_has_no_problems(catalog):
    assert check(catalog, splits=3) == []


@pytest.mark.parametrize(
    ("row", "column", "value", "words"),
    [
        (3, "path", "/nowhere/x.jpg", "table.csv row 5: no such file /nowhere/x.jpg"),
        (3, "path", "", "table.csv row 5: no path"),
        (0, "label", "mell", "table.csv row 2: unknown label 'mell'; did you mean 'mel'?"),
        (0, "label", None, "table.csv row 2: no label"),
        (4, "image_id", "id1", "row 6: duplicate image_id 'id1', first used in table.csv row 3"),
        (4, "image_id", None, "table.csv row 6: no image_id"),
    ],
)
def test_each_bad_cell_is_one_sentence_with_file_and_row(catalog, row, column, value, words):
    problems = check(changed(catalog, row, column, value), splits=3)
    assert len(problems) == 1 and words in problems[0]


def test_empty_class_is_named(catalog):
    problems = check(replace(catalog, class_names=("df", "mel", "nv")), splits=3)
    assert problems == ["class 'df': no images; add some or remove the class"]


def test_class_with_fewer_groups_than_splits_is_named_with_counts(catalog):
    problems = check(catalog, splits=5)
    assert len(problems) == 2
    assert "class 'mel': 3 groups (6 images) cannot reach 5 splits" in problems[0]
    assert check(catalog, splits=5, by="image") == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("MEL", r"join them by 'data\.map=\{MEL: mel\}', or rename one"),
        ("mel ", r"rename one$"),
    ],
)
def test_one_class_in_two_spellings_is_named(catalog, other, words):
    frame = catalog.frame.copy()
    row = frame.index[frame["label"] == "mel"][0]
    frame.loc[row, "label"] = other
    names = (*catalog.class_names, other)
    problems = check(replace(catalog, frame=frame, class_names=names))
    assert any(re.search(rf"differ in case or blanks alone; {words}", p) for p in problems)


def test_an_evaluation_set_may_lack_a_class(catalog):
    evaluation = replace(catalog, class_names=("df", "mel", "nv"), evaluation_only=True)
    assert check(evaluation, splits=3) == []


def test_an_empty_catalog_says_where_to_look(catalog):
    assert "data.root" in check(replace(catalog, frame=catalog.frame.iloc[:0]))[0]


def test_all_problems_end_in_one_message_of_about_twenty_lines():
    kinds = {"missing file": [f"m{i}" for i in range(500)], "label": ["l0", "l1"], "class": []}
    with pytest.raises(DermaSenseError) as caught:
        fail_on("test", kinds, "a hint")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("data=test: 502 problems")
    assert "500 missing file, 2 label" in lines[0]
    assert len(lines) == 23 and lines[-2:] == ["  ... and 482 more", "a hint"]
    assert "  l1" in lines and "  m0" in lines  # many of one kind do not hide another


def test_no_problem_is_no_error():
    assert fail_on("test", {"label": []}) is None


def test_a_cluster_counts_for_its_rarest_class():
    frame = pd.DataFrame({"group": ["a", "b", "b", "c"], "label": ["nv", "nv", "mel", "nv"]})
    assert home_class(frame, ("mel", "nv")).to_dict() == {"a": "nv", "b": "mel", "c": "nv"}
    assert units_per_class(frame, ("mel", "nv")) == {"mel": 1, "nv": 2}


def test_an_image_without_a_group_is_its_own():
    groups = own_groups(pd.Series(["g", None, None]), pd.Series(["x", "y", "z"]))
    assert groups.tolist() == ["g", "image y", "image z"]


def test_tables_are_read_as_text(tmp_path):
    (tmp_path / "t.csv").write_text("image_id,label\n007,NA\n8,\n")
    table = read_table(tmp_path / "t.csv", ["image_id", "label"])
    assert table["image_id"].tolist() == ["007", "8"]
    assert table["label"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file"),
        ("", "cannot be read as CSV"),
        ("imageid\n", "did you mean 'imageid'"),
    ],
)
def test_a_bad_table_is_one_sentence(tmp_path, text, words):
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DermaSenseError, match=words):
        read_table(tmp_path / "t.csv", ["image_id"])


def test_a_catalog_without_its_columns_is_a_programming_error(catalog):
    with pytest.raises(ValueError, match="sex"):
        replace(catalog, attributes=("sex",))
