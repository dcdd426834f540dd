"""Small files: what is written is read again, and any text gives a name for one."""

import errno
import os
import shutil
import stat
import time
from collections import namedtuple

import numpy as np
import pytest
from safetensors.numpy import save_file

from dermasense.cli import one_sentence
from dermasense.errors import DermaSenseError
from dermasense.files import (
    ABANDONED,
    for_spreadsheet,
    from_spreadsheet,
    read_csv,
    remove_abandoned,
    safe_name,
    safe_names,
    spreadsheet_row,
    write_atomically,
    write_csv,
    write_text,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [("a/b c:d", "a_b_c_d"), ("naïve-1.jpg", "naïve-1.jpg"), ("..", ""), ("../up", "_up")],
)
def test_a_name_leads_nowhere(text, name):
    assert safe_name(text) == name


def test_names_of_several_texts_are_each_given_once_whatever_their_case():
    texts = ["a/b", "a b", "A_B", "..", "x" * 300, "taken"]
    names = ["a_b", "a_b_2", "A_B_3", "none", "x" * 120, "taken_2"]
    assert safe_names(texts, empty="none", taken=["TAKEN"]) == names


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = [{"a": "1, 2", "b": "é"}, {"a": 'x"y', "b": ""}]
    write_csv(tmp_path / "t.csv", rows, ["a", "b"])
    assert read_csv(tmp_path / "t.csv") == rows


@pytest.mark.parametrize("text", ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "'=a", "''-a"])
def test_a_formula_is_made_a_text_and_given_back(text):
    assert for_spreadsheet(text) == f"'{text}"
    assert from_spreadsheet(for_spreadsheet(text)) == text


@pytest.mark.parametrize("text", ["", "a=1", "'a", "''", "a-b.jpg"])
def test_any_other_text_stays(text):
    assert for_spreadsheet(text) == from_spreadsheet(text) == text
    row = {"name": text, "score": -0.5, "none": None}
    assert spreadsheet_row(row | {"formula": "=1"}) == row | {"formula": "'=1"}


def test_a_missing_table_is_empty_only_where_that_is_allowed(tmp_path):
    assert read_csv(tmp_path / "t.csv", missing_ok=True) == []
    with pytest.raises(FileNotFoundError):
        read_csv(tmp_path / "t.csv")


def fails(error):
    def write(temporary):
        temporary.write_text("half")
        raise error

    return write


def of_number(number: int, *words) -> OSError:
    return OSError(number, os.strerror(number), *words)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EDQUOT, "no space is left"),
        (errno.EROFS, "Read-only file system; take a place"),
        (errno.EACCES, "Permission denied; take a place"),
    ],
)
def test_what_the_disk_refuses_is_a_sentence_and_the_former_file_stays(tmp_path, number, said):
    path = tmp_path / "t.json"
    write_text(path, "whole")
    with pytest.raises(DermaSenseError, match=f"t.json: {said}"):
        write_atomically(path, fails(of_number(number)))
    assert path.read_text() == "whole" and [file.name for file in tmp_path.iterdir()] == ["t.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_file_is_what_the_umask_says_whoever_writes_it(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "model.json", "{}")
        tensors = {"bias": np.zeros(2, np.float32)}
        write_atomically(tmp_path / "model.safetensors", lambda to: save_file(tensors, to))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {mode}, [path.name for path in tmp_path.iterdir()]


def test_a_writer_that_does_not_say_errno_is_judged_by_the_room(tmp_path, monkeypatch):
    failed = RuntimeError("PytorchStreamWriter failed writing file")
    with pytest.raises(RuntimeError, match="PytorchStreamWriter"):
        write_atomically(tmp_path / "last.ckpt", fails(failed))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(4096))
    with pytest.raises(DermaSenseError, match=r"last.ckpt: no space"):
        write_atomically(tmp_path / "last.ckpt", fails(failed))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_and_what_a_slow_one_fills_stays(tmp_path):
    long_ago = time.time() - ABANDONED - 60
    for name in ("killed", "slow"):
        inside = tmp_path / f".{name}.tmp" / "images"
        inside.mkdir(parents=True)
        os.utime(inside, (long_ago, long_ago))
        if name == "slow":
            (inside / "1.jpg").touch()
        os.utime(inside.parent, (long_ago, long_ago))
    remove_abandoned(tmp_path, ".*.tmp")
    assert [place.name for place in tmp_path.iterdir()] == [".slow.tmp"]


def test_a_command_tells_it_of_files_that_others_write(capsys):
    with pytest.raises(SystemExit) as end, one_sentence():
        raise of_number(errno.ENOSPC, "events.out")
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: events.out: no space is left on its disk.")
    with pytest.raises(OSError), one_sentence():
        raise of_number(errno.EIO)


def test_a_command_tells_who_must_allow_what_cannot_be_read(tmp_path, capsys, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read anything
    with pytest.raises(SystemExit) as end, one_sentence():
        raise of_number(errno.EACCES, str(path))
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {path}: this user may not read it; have its")
