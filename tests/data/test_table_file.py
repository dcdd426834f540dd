"""Tables as people save them: all read as the same text, or refused with their row."""

import os
import sys

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dermasense.data.catalog import check
from dermasense.data.sources import csv
from dermasense.data.table_file import read_table, row_origins
from dermasense.errors import DermaSenseError

TEXT = "path,dx,note\na.jpg,mel,Läsion\nb.jpg,nv,\n"


def saved(tmp_path, content, name="t.csv"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def rows(file, columns=("path",)):
    return read_table(file, columns).where(lambda t: t.notna(), "").to_numpy().tolist()


EXPECTED = [["a.jpg", "mel", "Läsion"], ["b.jpg", "nv", ""]]


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        TEXT.encode("utf-8-sig"),
        TEXT.encode("latin-1"),
        TEXT.encode("cp1252"),
        TEXT.encode("utf-16"),
        TEXT.replace(",", ";"),
        TEXT.replace(",", "\t"),
        TEXT.replace(",", "|"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        TEXT.replace("mel", '"mel"').replace("dx", '"dx"'),
        TEXT.replace(",mel", ", mel  "),
        TEXT + "\n\n,,\n",  # what a spreadsheet leaves below
    ],
)
def test_one_table_in_many_files(tmp_path, content):
    assert rows(saved(tmp_path, content)) == EXPECTED


def test_separators_inside_quotes_belong_to_the_cell(tmp_path):
    file = saved(tmp_path, 'path;"a,b,c,d"\n"x;1.jpg";"say ""no""\nagain"\n')
    assert rows(file) == [["x;1.jpg", 'say "no"\nagain']]


def test_parquet_is_the_text_that_a_csv_would_show(tmp_path):
    frame = pd.DataFrame({"path": ["a", "b"], "dx": ["mel", None], "age": [40.0, None]})
    frame["n"], frame["share"] = [1, 2], [0.5, 1.0]
    frame.to_parquet(tmp_path / "t.parquet")
    assert rows(tmp_path / "t.parquet") == [
        ["a", "mel", "40", "1", "0.5"],
        ["b", "", "", "2", "1.0"],
    ]


def test_an_empty_row_in_the_middle_shifts_no_row(tmp_path):
    file = saved(tmp_path, "path,label\na.jpg,mel\n\nb.jpg,nv\n")
    catalog = csv.catalog(str(tmp_path), file=file.name)
    problems = check(catalog)
    assert any("t.csv row 3: no path" in p for p in problems)
    assert any("t.csv row 4: no such file" in p and "b.jpg" in p for p in problems)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,dx\na.jpg,mel,left\n", r"t\.csv row 2: has 3 cells where the header has 2"),
        ("path,dx\na.jpg,mel\nb.jpg\n", r"t\.csv row 3: has 1 cells where the header has 2"),
        ('path,dx\na.jpg,"mel\nb.jpg,nv\n', "look for a quotation mark without its other half"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "it is no text"),
        (b"PK\x03\x04\x14\0\0\0", "it is no text"),  # a workbook of Excel
        (b"PAR1junk", "cannot be read as Parquet"),
        ("path,path\na,b\n", "has two columns 'path'"),
        ("path,group,group\na,b,c\n", "has two columns 'group'"),
        ("pfad,dx\na,b\n", "has no column 'path'"),
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
    ],
)
def test_a_bad_table_is_one_sentence(tmp_path, content, words):
    with pytest.raises(DermaSenseError, match=words) as caught:
        read_table(saved(tmp_path, content), ["path"])
    assert "\n" not in str(caught.value)


def test_columns_without_a_name_may_be_several(tmp_path):
    assert len(read_table(saved(tmp_path, "path,,\na,b,c\n"), ["path"])) == 1


@pytest.mark.timeout(20)
def test_a_folder_or_a_pipe_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for name, words in (("pipe.csv", "a pipe"), (".", "is a folder"), ("gone.csv", "no such")):
        with pytest.raises(DermaSenseError, match=words):
            read_table(tmp_path / name, [])


def test_a_cell_as_long_as_a_file_is_refused_not_read_on(tmp_path):
    with pytest.raises(DermaSenseError, match="field larger than field limit"):
        read_table(saved(tmp_path, "path,dx\na," + "x" * 200_000), ["path"])


def test_rows_are_counted_as_a_spreadsheet_does():
    assert row_origins("/a/b.csv", 2) == ["b.csv row 2", "b.csv row 3"]


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "null", "<NA>", "#N/A"])
def test_words_for_nothing_are_no_label_and_no_lesion(tmp_path, word):
    lines = [
        f"a{i}.jpg,{label},{group}"
        for i, (label, group) in enumerate(
            [("mel", "p1"), (word, "p1"), ("mel", word), ("mel", word)]
        )
    ]
    saved(tmp_path, "\n".join(["path,label,group", *lines]), "labels.csv")
    catalog = csv.catalog(str(tmp_path))
    assert catalog.class_names == ("mel",)
    assert [p for p in check(catalog) if "row 3: no label" in p]
    assert catalog.frame["group"].nunique() == 3  # unknown lesions are not one lesion


@pytest.mark.parametrize(
    ("written", "on_disk"),
    [
        ("sub\\a b.jpg", "sub/a b.jpg"),
        ("mélanome.jpg", "me\u0301lanome.jpg"),
        ("me\u0301lanome.jpg", "mélanome.jpg"),
        ("a", "a.jpg"),
        ("sub/ISIC_1", "sub/ISIC_1.png"),
        ("plain.jpg", "plain.jpg"),
        ("back\\slash.jpg", "back\\slash.jpg"),
    ],
)
def test_names_that_another_system_wrote_are_found(tmp_path, written, on_disk):
    file = tmp_path / on_disk
    file.parent.mkdir(exist_ok=True)
    file.touch()
    saved(tmp_path, f"path,label\n{written},mel\n", "labels.csv")
    assert csv.catalog(str(tmp_path)).frame["path"][0] == str(file)


def test_a_folder_in_a_pictures_place_is_named(tmp_path):
    (tmp_path / "a.jpg").mkdir()
    saved(tmp_path, "path,label\na.jpg,mel\n", "labels.csv")
    assert "a.jpg is a folder, no picture" in check(csv.catalog(str(tmp_path)))[0]


def test_a_name_that_fits_two_files_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "a.png").touch()
    saved(tmp_path, "path,label\na,mel\n", "labels.csv")
    with pytest.raises(DermaSenseError, match=r"a fits several files \(a\.jpg, a\.png\)"):
        csv.catalog(str(tmp_path))


def test_a_drive_of_windows_is_named_as_such(tmp_path):
    saved(tmp_path, "path,label\nC:\\pictures\\a.jpg,mel\n", "labels.csv")
    assert "a path of Windows" in check(csv.catalog(str(tmp_path)))[0]


def test_mixed_types_stay_text_and_labels_of_numbers_too(tmp_path):
    saved(tmp_path, "path,label,age\na,1,40\nb,01,old\nc,2,\n", "labels.csv")
    catalog = csv.catalog(str(tmp_path), attributes=["age"])
    assert catalog.class_names == ("01", "1", "2")
    assert catalog.frame["age"].iloc[:2].tolist() == ["40", "old"]


SAMPLE = b'path;label;group\n"a ""1"".jpg";mel;l1\r\nb.jpg;nv;\n\n'


@pytest.mark.skipif(sys.platform == "win32", reason="writes odd bytes")
@settings(
    max_examples=150,
    deadline=2000,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    at=st.integers(0, len(SAMPLE)),
    drop=st.integers(0, 6),
    insert=st.one_of(st.binary(max_size=8), st.sampled_from([b'"', b"\0", b"\r", b";", b"\n"])),
)
def test_changed_bytes_give_rows_or_one_sentence(tmp_path, at, drop, insert):
    file = saved(tmp_path, SAMPLE[:at] + insert + SAMPLE[at + drop :])
    try:
        table = read_table(file, ["path", "label"])
        catalog = csv.catalog(str(tmp_path), file="t.csv")
    except DermaSenseError as error:
        assert "t.csv" in str(error)
    else:
        assert len(catalog.frame) == len(table)  # no row is lost
        assert check(catalog)  # no file is there, so something is said of each row
