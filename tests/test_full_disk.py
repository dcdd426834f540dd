"""A full disk and a read-only one, at any writing step: one sentence, nothing half-written, and the
run goes on to the same end when there is room. The disk is a small tmpfs.
"""

import contextlib
import subprocess
from pathlib import Path

import pytest

from tests.long import LONG
from tests.processes import train
from tests.test_kill import COMPARED, OPTIONS


@contextlib.contextmanager
def disk(folder: Path, kib: int):
    """A disk of that size; skips the test where this user may not mount one."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"no right to mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def again(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def run(place: Path, cache: Path) -> tuple[int, str]:
    """The run in `place`, begun or gone on with; its exit code and what it said of mistakes."""
    folder = place / "run"
    begun = (folder / "config.yaml").exists()
    words = [f"resume={folder}"] if begun else [*OPTIONS, f"hydra.run.dir={folder}"]
    process = train(cache, *words)
    _, said = process.communicate(timeout=300)
    return process.returncode, said


def in_a_sentence(said: str) -> bool:
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    return len(lines) == 1 and "Traceback" not in said


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run, and the KiB that it takes."""
    place = tmp_path_factory.mktemp("whole")
    code, said = run(place, place / "cache")
    assert code == 0, said
    files = [file for file in (place / "run").rglob("*") if file.is_file()]
    return place, sum(file.stat().st_size for file in files) // 1024


# Of the room that a run takes: in its first files, a checkpoint, a later one, the last files.
@pytest.mark.slow
@pytest.mark.parametrize(
    "part", [0.0002, pytest.param(0.2, marks=LONG), 0.6, pytest.param(0.97, marks=LONG)]
)
def test_a_run_that_filled_the_disk_goes_on_when_there_is_room(whole, tmp_path, part):
    undisturbed, kib = whole
    place = tmp_path / "disk"
    with disk(place, max(8, int(part * kib))):
        code, said = run(place, undisturbed / "cache")
        assert code == 2 and in_a_sentence(said), said
        assert "no space is left" in said
        assert not list(place.rglob("*.tmp")), "half-written"
        again(place, f"size={4 * kib}k")
        code, said = run(place, undisturbed / "cache")
        assert code == 0, said
        for name in COMPARED:
            same = (place / "run" / name).read_bytes() == (undisturbed / "run" / name).read_bytes()
            assert same, name


@pytest.mark.slow
def test_a_read_only_disk_is_told_in_a_sentence(tmp_path):
    place = tmp_path / "disk"
    with disk(place, 1024):
        again(place, "ro")
        code, said = run(place, tmp_path / "cache")
        assert code == 2 and in_a_sentence(said), said
        assert str(place) in said
