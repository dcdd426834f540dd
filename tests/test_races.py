"""Commands at once in one place: `benchmarks/reliability/race.py`, with fewer processes."""

import datetime
import subprocess
import sys
from pathlib import Path

import pytest
import race

from dermasense.run_folder import RunFolder
from tests.long import LONG
from tests.processes import train
from tests.sweeping.trials import instant
from tests.test_kill import OPTIONS


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return race.Race(tmp_path_factory.mktemp("races"), 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", [pytest.param(each, marks=LONG if each == "sweep" else ()) for each in race.TASKS]
)
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


def test_a_cross_validation_is_refused_before_hydra_writes(command, tmp_path):
    run = RunFolder(tmp_path / "cv")
    (run.path / ".hydra").mkdir(parents=True)
    (run.path / "cross_validation.json").write_text("{}")
    code, _, err = command("seed=2", f"out={run.path}")
    assert code == 2 and "holds a cross-validation already" in err
    assert not list((run.path / ".hydra").iterdir())


def test_a_file_in_the_place_of_the_folder_is_one_sentence(command, tmp_path):
    (tmp_path / "run").write_text("mine")
    code, _, err = command(f"out={tmp_path / 'run'}")
    assert code == 2 and err.count("\n") == 1 and "is, or lies in, a file" in err
    assert (tmp_path / "run").read_text() == "mine"


def test_to_hold_twice_in_a_process_lets_go_once(tmp_path):
    run = RunFolder(tmp_path)
    words = "import pathlib, sys; from dermasense.run_index.found import is_held\n"
    words += "print(is_held(pathlib.Path(sys.argv[1])))"

    def seen() -> str:
        done = [sys.executable, "-c", words, str(tmp_path)]
        return subprocess.run(done, capture_output=True, text=True, check=True).stdout.strip()

    with run.held():
        with run.held():
            pass
        assert seen() == "True"
    assert seen() == "False"


def test_only_what_a_run_was_writing_is_cleared(tmp_path):
    run = RunFolder(tmp_path)
    ours = [tmp_path / ".metrics.json.12.tmp", run.checkpoints / ".last.ckpt.12.tmp"]
    foreign = [tmp_path / ".vim.tmp", tmp_path / "other" / ".metrics.json.12.tmp"]
    for path in (*ours, *foreign):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    (tmp_path / ".folder.1.tmp").mkdir()
    run.clear()
    assert not any(path.exists() for path in ours) and all(path.exists() for path in foreign)


@pytest.mark.parametrize("trained", [False, True])
def test_only_a_run_that_has_not_trained_is_taken_back(tmp_path, trained):
    run = RunFolder(tmp_path)
    run.begin({"seed": 1}, ["seed=1"])
    if trained:
        run.checkpoints.mkdir()
    run.withdraw()
    assert [run.config.exists(), run.environment.exists()] == [trained, trained]


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


@pytest.fixture
def one_second(monkeypatch):
    """The clock by which Hydra names folders stands still."""

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr("hydra.core.utils.datetime", Clock)


def test_commands_that_begin_in_one_second_take_folders_of_their_own(
    command, call_command, here, monkeypatch, one_second
):
    from dermasense import cross_validate, experiment

    monkeypatch.setattr(experiment, "run_experiment", instant)
    gathered = []
    monkeypatch.setattr(cross_validate, "_gather", lambda folder, _: gathered.append(folder.name))
    outputs = here / "outputs" / "quickstart"
    for sweeper in ("basic", "grid", "random"):
        words = ["--multirun", f"hydra/sweeper={sweeper}", "seed=0,1"]
        words += ["hydra.sweeper.n_trials=2"] if sweeper == "random" else []
        code, _, err = command(*words)
        assert code == 0, err
    for _ in range(2):
        assert command("seed=1")[0] == 0
        assert call_command(cross_validate, "folds=2")[0] == 0
    named = "2026-01-02_03-04-05"
    assert {path.name for path in outputs.iterdir()} == {
        *(f"sweep_{named}{end}" for end in ("", "_1", "_2")),
        *(f"{kind}{named}{end}" for kind in ("", "cv_") for end in ("", "_1")),
    }
    assert gathered == [f"cv_{named}", f"cv_{named}_1"]
    for sweep in outputs.glob("sweep_*"):
        assert {path.parent.name for path in sweep.glob("*/finished.json")} == {"0", "1"}
    for run in (outputs / named, outputs / f"{named}_1"):
        assert f"dir: outputs/quickstart/{run.name}\n" in (run / ".hydra/hydra.yaml").read_text()


def test_a_name_that_is_no_time_is_not_made_another(command, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.begin({"seed": 1}, ["seed=1"])
    assert command(f"out={run.path}")[0] == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("run")] == ["run"]


def test_a_file_in_the_place_of_outputs_is_one_sentence(command, here):
    (here / "outputs").write_text("mine")
    code, _, err = command()
    assert code == 2 and err.count("\n") == 1 and "is, or lies in, a file" in err
    (here / "outputs").unlink()
    (here / "outputs").symlink_to(here / "a disk that is not there" / "outputs")
    code, _, err = command()
    assert code == 2 and err.count("\n") == 1 and str(Path("outputs", "quickstart")) in err
