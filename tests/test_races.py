"""Commands at once in one place: `benchmarks/reliability/race.py`, with fewer processes."""

import subprocess
import sys

import pytest
import race

from dermasense.run_folder import RunFolder
from tests.processes import train
from tests.test_kill import OPTIONS


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return race.Race(tmp_path_factory.mktemp("races"), 3)


@pytest.mark.slow
@pytest.mark.parametrize("task", list(race.TASKS))
def test_one_wins_or_all_share_and_nothing_is_spoilt(three, task):
    row = race.TASKS[task](three)
    assert race.held(row), row
    assert row["finished"] == (3 if task == "cache" else row["finished"]) >= 1


def test_a_refused_command_leaves_the_folder_of_another_as_it_is(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys; from dermasense.run_folder import RunFolder\n"
            "with RunFolder(pathlib.Path(sys.argv[1])).held():\n"
            "    print('held', flush=True); sys.stdin.read()",
            str(tmp_path / "run"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    for words in ([f"out={tmp_path / 'run'}"], ["--multirun", f"out={tmp_path / 'run'}"]):
        process = train(tmp_path / "cache", *OPTIONS, *words)
        _, said = process.communicate(timeout=100)
        assert process.returncode == 2
        assert said.count("\n") == 1 and "another process is at work" in said, said
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    holder.communicate("")


def test_a_run_refuses_another_and_keeps_what_hydra_wrote_of_it(command, tmp_path):
    run = RunFolder(tmp_path / "run")
    (run.path / ".hydra").mkdir(parents=True)
    (run.path / ".hydra" / "overrides.yaml").write_text("- seed=1\n")
    run.config.write_text("seed: 1\n")
    code, _, err = command("seed=2", f"out={run.path}")
    assert code == 2 and "holds a run already" in err
    assert (run.path / ".hydra" / "overrides.yaml").read_text() == "- seed=1\n"
    assert not (run.path / "train.log").exists()


@pytest.mark.parametrize("made_before", [False, True])
def test_a_refused_run_leaves_nothing_that_looks_like_one(command, tmp_path, made_before):
    folder = tmp_path / "run"
    if made_before:
        folder.mkdir()
        (folder / "train.log").write_text("of another program\n")
    code, _, err = command("data=folder", f"data.root={tmp_path / 'gone'}", f"out={folder}")
    assert code == 2 and "gone" in err
    if made_before:
        assert (folder / "train.log").read_text().startswith("of another program\n")
    else:
        assert not folder.exists()
