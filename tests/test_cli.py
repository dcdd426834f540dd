"""The command line as all commands read it."""

import subprocess
import sys

import pytest

from dermasense import train
from dermasense.hydra_words import quoted
from dermasense.replaced_choices import no_search


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("predictions=a b.parquet,c=(1).parquet", 'predictions=["a b.parquet","c=(1).parquet"]'),
        ("predictions=[a,b]", "predictions=[a,b]"),
        ('out=my "best" run', 'out="my \\"best\\" run"'),
        ("labels=null", "labels=null"),
        ("seed=3", "seed=3"),
        ("data=x", "name=x"),
        ("--help", "--help"),
    ],
)
def test_paths_need_no_quoting(word, expected):
    assert quoted(word, ("out", "labels"), ("predictions",), {"data": "name"}) == expected


def test_a_command_ends_without_a_last_search_for_unreachable_objects():
    # What is registered before runs after.
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); "
        "import dermasense.cli; print(gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]


@pytest.mark.parametrize(
    "task",
    [
        "print('x' * 200_000)",  # more than a pipe holds
        "print('x'); sys.stdout.flush()",
        "print('x')",  # written as the process ends
    ],
)
def test_a_reader_that_goes_away_is_no_fault(task):
    code = (
        "import sys; from dermasense.cli import one_sentence\n"
        "sys.stdin.read()\n"
        f"with one_sentence():\n    {task}"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        process.stdout.close()
        process.stdin.close()
        said = process.stderr.read()
        assert process.wait(60) == 141 and not said


def test_another_broken_pipe_is_a_fault():
    code = (
        "import os; from dermasense.cli import one_sentence\n"
        "ours, theirs = os.pipe(); os.close(ours)\n"
        "with one_sentence():\n    os.write(theirs, b'x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "BrokenPipeError" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hparams_search=head"], True),
        (["hparams_search=head", "loss.gamma=1"], True),
        ([], False),
        (["loss.gamma=1"], False),
    ],
)
def test_a_search_that_is_named_without_multirun_is_told(call_command, tmp_path, words, said):
    more = ["data=folder", "data.root=nowhere", f"out={tmp_path / 'run'}"]
    code, out, _ = call_command(train, *words, *more)
    assert code == 2
    assert ("note: no search without --multirun" in out) == said


def test_the_best_trial_of_a_search_is_run_alone_without_a_word():
    params = {"loss.gamma": "interval(0, 3)", "balance": "choice(none, sampler)"}
    typed = ["hparams_search=head", "loss.gamma=1.5", "balance=none"]
    assert not no_search(params, typed) and no_search(params, typed[:2])
