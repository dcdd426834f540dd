"""The decoded store: keyed by content, whole or rebuilt, safe to build twice at once."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from dermasense.data import dicom, preprocess, row_file
from dermasense.data import store as store_module
from dermasense.data.preprocess import InputSpec
from dermasense.data.row_file import RowFile
from dermasense.data.store import DecodedStore
from dermasense.errors import DermaSenseError
from tests.data.dicom_files import dicom_file
from tests.data.stored import SPEC, expected


def test_rows_are_the_pictures_in_order(pictures, tmp_path):
    calls = []
    store = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c", lambda *n: calls.append(n))
    assert store.images.shape == (7, 16, 16, 3) and store.images.dtype == np.uint8
    assert (store.images == expected(pictures)).all()
    assert store.unreadable == {} and calls[-1] == (7, 7)
    assert not list((tmp_path / "c").glob(".*tmp"))


def test_second_opening_decodes_nothing(pictures, tmp_path, decoded):
    for _ in range(2):
        DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert len(decoded) == 7


def test_same_content_under_other_names_is_the_same_store(pictures, tmp_path, decoded):
    DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    moved = [p.replace(".png", "-moved.png") for p in pictures]
    for old, new in zip(pictures, moved, strict=True):
        os.rename(old, new)
    DecodedStore.open_or_build(moved, SPEC, tmp_path / "c")
    assert len(decoded) == 7


@pytest.mark.parametrize(
    "other",
    [
        InputSpec(8, "squash", (0.5,) * 3, (0.5,) * 3),
        InputSpec(16, "crop", (0.5,) * 3, (0.5,) * 3),
        InputSpec(16, "squash", (0.5,) * 3, (0.5,) * 3, interpolation="box"),
    ],
)
def test_options_order_and_content_give_other_stores(pictures, tmp_path, other):
    first = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    paths = {first.path, DecodedStore.open_or_build(pictures, other, tmp_path / "c").path}
    paths.add(DecodedStore.open_or_build(pictures[::-1], SPEC, tmp_path / "c").path)
    Image.new("RGB", (20, 30), "red").save(pictures[3])
    changed = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert len(paths | {changed.path}) == 4
    assert (changed.images[3] == [255, 0, 0]).all()


def test_another_pillow_decodes_anew(pictures, tmp_path, monkeypatch):
    first = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    monkeypatch.setattr(PIL, "__version__", "99.0")
    assert DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c").path != first.path


def test_mean_and_std_play_no_part(pictures, tmp_path, decoded):
    DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    other = InputSpec(16, "squash", (0.1,) * 3, (0.2,) * 3)
    DecodedStore.open_or_build(pictures, other, tmp_path / "c")
    assert len(decoded) == 7


def test_unreadable_and_missing_pictures_are_named_and_zero(pictures, tmp_path):
    Path(pictures[1]).write_bytes(Path(pictures[1]).read_bytes()[:200])
    os.remove(pictures[4])
    for _ in range(2):  # built, then opened
        store = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
        assert set(store.unreadable) == {1, 4}
        assert "truncated" in store.unreadable[1] and store.unreadable[4] == "no such file"
        assert not store.images[[1, 4]].any() and store.images[0].any()


def damage_truncate(path):
    os.truncate(path, path.stat().st_size - 100)


def damage_one_byte(path):
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size - 1000)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


def damage_header(path):
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"x")


def damage_manifest(path):
    file = path.with_suffix(".json")
    file.write_text(file.read_text()[:-20])


def damage_reasons(path):
    file = path.with_suffix(".json")
    file.write_text(
        json.dumps(json.loads(file.read_text()) | {"notes": {"unreadable": {"0": "lie"}}})
    )


@pytest.mark.parametrize(
    "damage",
    [damage_truncate, damage_one_byte, damage_header, damage_manifest, damage_reasons],
)
def test_damage_is_noticed_and_mended(pictures, tmp_path, decoded, caplog, damage):
    path = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c").path
    damage(path)
    store = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert (store.images == expected(pictures)).all() and store.unreadable == {}
    assert len(decoded) == 14
    assert "decoded images" in caplog.text and " anew" in caplog.text


def test_a_cut_build_leaves_nothing_that_opens(pictures, tmp_path, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c", crash)
    assert not [*(tmp_path / "c").glob("*.npy"), *(tmp_path / "c").glob(".*.tmp")]
    store = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert (store.images == expected(pictures)).all()


def test_the_leavings_of_a_killed_builder_are_cleared(pictures, tmp_path):
    path = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c").path
    orphan = path.with_name(f".{path.stem}.0123.tmp")
    orphan.write_bytes(b"half")
    path.unlink()
    DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert not orphan.exists()


@pytest.mark.parametrize("locks", [True, False])
def test_two_processes_that_build_at_once_get_one_whole_store(pictures, tmp_path, locks):
    program = f"""
import sys
from dermasense.data import row_file, store
from dermasense.data.preprocess import InputSpec
if not {locks}:
    row_file.fcntl = None
sys.stdin.readline()
made = store.DecodedStore.open_or_build(
    sys.argv[2:], InputSpec(16, "squash", (.5,) * 3, (.5,) * 3), sys.argv[1])
print(int(made.images.astype("int64").sum()))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "c"), *pictures]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    sums = [int(process.communicate(timeout=120)[0]) for process in both]
    assert sums == [int(expected(pictures).astype(np.int64).sum())] * 2
    assert len(list((tmp_path / "c").glob("*.npy"))) == 1
    assert not list((tmp_path / "c").glob(".*.tmp"))


def test_a_pickled_store_carries_no_pixels(pictures, tmp_path):
    store = DecodedStore.open_or_build(pictures * 40, SPEC, tmp_path / "c")
    data = pickle.dumps(store)
    assert len(data) < 1000
    assert (pickle.loads(data).images == store.images).all()


def test_a_system_without_pread_builds_and_checks_the_same_store(pictures, tmp_path, monkeypatch):
    for name in ("pread", "pwrite"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(row_file, "_checked", {})
    store = DecodedStore.open_or_build(pictures * 20, SPEC, tmp_path / "c")
    assert (store.images == expected(pictures * 20)).all()
    monkeypatch.setattr(row_file, "_checked", {})
    assert RowFile(store.path, store.images.shape, "uint8", "").open() is not None


def test_a_full_disk_is_one_sentence(pictures, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "pwrite", full)
    with pytest.raises(DermaSenseError, match=r"No space left on device.*cache_dir="):
        DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert not list((tmp_path / "c").glob(".*.tmp"))


def test_no_pictures_is_a_user_mistake(tmp_path):
    with pytest.raises(DermaSenseError, match="no images"):
        DecodedStore.open_or_build([], SPEC, tmp_path / "c")


def of_an_earlier_process(store):
    os.utime(store.path.with_suffix(".json"), (0, 0))


def test_what_lacked_a_program_is_read_once_it_is_installed(pictures, tmp_path, decoded):
    scan = tmp_path / "scan.dcm"
    scan.write_bytes(dicom_file(np.full((20, 30, 3), 90, np.uint8)))
    paths = [*pictures, str(scan)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dicom, "_pydicom_or_none", lambda: None)
        store = DecodedStore.open_or_build(paths, SPEC, tmp_path / "c")
        assert "needs pydicom" in store.unreadable[7]
        DecodedStore.open_or_build(paths, SPEC, tmp_path / "c")
        assert len(decoded) == 8  # the process that built it does not try again
    of_an_earlier_process(store)
    store = DecodedStore.open_or_build(paths, SPEC, tmp_path / "c")
    assert store.unreadable == {} and (store.images[7] == 90).all()


def test_what_lacked_memory_is_tried_again(pictures, tmp_path):
    def full(_):
        raise MemoryError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(preprocess, "_to_rgb", full)
        store = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    assert len(store.unreadable) == 7 and "out of memory" in store.unreadable[0]
    of_an_earlier_process(store)
    assert DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c").unreadable == {}


def test_a_store_whose_broken_pictures_are_their_own_fault_stays(pictures, tmp_path, decoded):
    Path(pictures[0]).write_bytes(b"no picture")
    store = DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c")
    of_an_earlier_process(store)
    assert 0 in DecodedStore.open_or_build(pictures, SPEC, tmp_path / "c").unreadable
    assert len(decoded) == 7
