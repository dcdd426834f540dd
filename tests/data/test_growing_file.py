"""A row file that grows: each row is computed once, whoever asks first, and checked when read."""

import numpy as np
import pytest

from dermasense.data import growing_file
from dermasense.data.growing_file import GrowingFile
from dermasense.errors import DermaSenseError


def value(rows):
    return np.stack([rows, rows + 0.5, -rows], axis=1).astype("float32")


@pytest.fixture
def asked():
    return []


@pytest.fixture
def grow(tmp_path, asked):
    """Asks for rows as another process would, which has compared nothing yet."""

    def ask(rows):
        growing_file._compared.clear()

        def compute(missing):
            asked.append(missing.tolist())
            for part in np.array_split(missing, 2):
                yield value(part)

        return GrowingFile(tmp_path / "x.npy", (10, 3), "float32", "values").filled(rows, compute)

    return ask


def test_a_row_is_computed_once(grow, asked):
    grow(np.array([7, 2, 2, 5]))
    array = grow(np.array([5, 9, 2]))
    assert asked == [[2, 5, 7], [9]]
    np.testing.assert_array_equal(array[[2, 5, 7, 9]], value(np.array([2, 5, 7, 9])))
    assert not array[[0, 1, 3, 4, 6, 8]].any()


def test_a_damaged_row_alone_is_computed_anew(grow, asked, tmp_path, caplog):
    grow(np.arange(10))
    with open(tmp_path / "x.npy", "r+b") as file:
        file.seek(-2 * 12 + 1, 2)
        file.write(b"\xff")
    array = grow(np.arange(10))
    assert asked[1:] == [[8]] and "row 8 is damaged" in caplog.text
    np.testing.assert_array_equal(array, value(np.arange(10)))


@pytest.mark.parametrize("name", ["x.npy", "x.rows"])
@pytest.mark.parametrize("change", ["cut", "gone", "other"])
def test_a_damaged_file_is_begun_anew(grow, asked, tmp_path, name, change):
    grow(np.arange(4))
    path = tmp_path / name
    if change == "gone":
        path.unlink()
    elif change == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.write_bytes(b"\x01" + path.read_bytes()[1:])
    array = grow(np.arange(4))
    assert asked == [[0, 1, 2, 3]] * 2
    np.testing.assert_array_equal(array[:4], value(np.arange(4)))


def test_what_was_computed_before_an_error_is_kept(tmp_path):
    file = GrowingFile(tmp_path / "x.npy", (10, 3), "float32", "values")

    def break_off(missing):
        yield value(missing[:4])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file.filled(np.arange(10), break_off)
    assert file.missing(np.arange(10)).tolist() == [4, 5, 6, 7, 8, 9]


def test_too_few_values_are_no_silent_zeros(tmp_path):
    file = GrowingFile(tmp_path / "x.npy", (10, 3), "float32", "values")
    with pytest.raises(DermaSenseError, match="4 of 10 rows were computed"):
        file.filled(np.arange(10), lambda missing: [value(missing[:4])])


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    file = GrowingFile(tmp_path / "x.npy", (10, 3), "float32", "values")
    monkeypatch.setattr(growing_file.RowWriter, "__call__", full)
    with pytest.raises(DermaSenseError, match=r"No space left on device.*cache_dir="):
        file.filled(np.arange(10), lambda missing: [value(missing)])


def test_what_is_computed_is_noted_on_the_way_not_at_the_end_alone(tmp_path, monkeypatch):
    """A kill -9 runs no `finally`: what another process would find missing, before each part."""
    monkeypatch.setattr(growing_file, "SAVE", 4)
    file = GrowingFile(tmp_path / "x.npy", (10, 3), "float32", "values")
    left = []

    def compute(missing):
        for part in np.split(missing, [4, 6, 8]):
            left.append(len(file.missing(np.arange(10))))
            yield value(part)

    file.filled(np.arange(10), compute)
    assert left == [10, 6, 6, 2]


def test_rows_are_on_the_disk_before_the_note_says_so(grow, events):
    grow(np.arange(4))
    assert events == ["flushed", ".npy", "flushed", "flushed", ".rows"]
