"""Small files: what is written is read again, and any text gives a name for one."""

import pytest

from dermasense.files import read_csv, safe_name, write_csv


@pytest.mark.parametrize(
    ("text", "name"),
    [("a/b c:d", "a_b_c_d"), ("naïve-1.jpg", "naïve-1.jpg"), ("..", ""), ("../up", "_up")],
)
def test_a_name_leads_nowhere(text, name):
    assert safe_name(text) == name


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = [{"a": "1, 2", "b": "é"}, {"a": 'x"y', "b": ""}]
    write_csv(tmp_path / "t.csv", rows, ["a", "b"])
    assert read_csv(tmp_path / "t.csv") == rows


def test_a_missing_table_is_empty_only_where_that_is_allowed(tmp_path):
    assert read_csv(tmp_path / "t.csv", missing_ok=True) == []
    with pytest.raises(FileNotFoundError):
        read_csv(tmp_path / "t.csv")
