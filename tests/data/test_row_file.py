"""A file of rows on its way to the disk: whole or not there, shared, never of other content."""

import contextlib
import os
from types import SimpleNamespace

import pytest
from PIL import Image

from dermasense.data import row_file
from dermasense.data import store as store_module
from dermasense.data.store import DecodedStore
from dermasense.errors import DermaSenseError
from tests.data.stored import SPEC, expected


def test_a_picture_that_changes_while_it_is_read_ends_the_build(pictures, tmp_path, monkeypatch):
    real = store_module._decode

    def changed(path, digest, spec):
        if path == pictures[3]:
            Image.new("RGB", (20, 30), "red").save(path)
        return real(path, digest, spec)

    monkeypatch.setattr(store_module, "_decode", changed)
    with pytest.raises(DermaSenseError, match=r"3\.png: changed while it was read"):
        DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert not [*(tmp_path / "c").glob("*.npy"), *(tmp_path / "c").glob(".*.tmp")]


def test_rows_are_on_the_disk_before_the_file_has_its_name(pictures, tmp_path, events):
    DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert events == ["flushed", ".npy", "flushed", ".json"]


@pytest.mark.timeout(20)
def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_all(pictures, tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: real(file, data[:100], at))
    store = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert (store.images == expected(pictures)).all()


def test_a_store_that_does_not_fit_is_refused_before_any_work(
    pictures, tmp_path, decoded, monkeypatch
):
    room = SimpleNamespace(free=row_file.SPARE + 7 * 16 * 16 * 3 - 1)
    monkeypatch.setattr(row_file.shutil, "disk_usage", lambda _: room)
    with pytest.raises(DermaSenseError, match=r"0\.2 GB are free.*cache_dir="):
        DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert not decoded
    room.free += 1
    DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")


def test_what_another_process_built_meanwhile_is_taken(pictures, tmp_path, decoded, monkeypatch):
    real = row_file.alone

    @contextlib.contextmanager
    def waits(path):
        monkeypatch.setattr(row_file, "alone", real)
        DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")  # who held the lock
        with real(path):
            yield

    monkeypatch.setattr(row_file, "alone", waits)
    DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert len(decoded) == 7


def test_without_locks_nobody_clears_what_another_is_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(row_file, "fcntl", None)
    theirs = tmp_path / ".x.0123.tmp"
    theirs.write_bytes(b"half")
    with row_file.alone(tmp_path / "x.npy"):
        assert theirs.exists()


def test_new_content_of_the_same_size_is_another_store(tmp_path):
    path = tmp_path / "a.bmp"
    for date, colour in enumerate([(255, 0, 0), (0, 0, 255)]):
        Image.new("RGB", (20, 30), colour).save(path)
        os.utime(path, (date, date))
        store = DecodedStore.open_or_build([str(path)], SPEC, tmp_path / "c")
        assert (store.images[0] == colour).all()
