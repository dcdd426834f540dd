"""What the Tab key offers, asked for as each shell asks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dermasense import __main__ as console
from dermasense.commands import commands
from dermasense.shell.scripts import SCRIPTS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def words(call_command):
    def ask(line: str) -> list[str]:
        code, printed, err = call_command(console, "completion", "--words", line)
        assert code == 0, err
        return printed.split()

    return ask


def test_commands_come_first(words):
    assert words("") == [*commands(), "completion"]
    assert words("pre") == ["predict", "prepare"]
    assert words("nothing ") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train los", ["loss.", "loss="]),
        ("train loss=fo", ["loss=focal"]),
        ("train loss=focal loss.g", ["loss.gamma="]),
        ("train loss=ce loss.g", []),
        ("train experiment=b1_se loss.g", ["loss.gamma="]),
        ("train loss=focal,c", ["loss=focal,ce"]),
        ("train report.images=", ["report.images=false", "report.images=true"]),
        ("train launcher=r", ["launcher=ray"]),
        ("train --m", ["--multirun"]),
        ("train nonsense=1 los", ["loss.", "loss="]),
        ("predict im", ["images="]),
        ("predict images=", []),
        ("predict loss=", []),
        ("predict v", []),
        ("predict tt", ["tta.", "tta="]),
        ("decide decision=l", ["decision=lac"]),
        ("decide al", ["alpha="]),
        ("prepare n", []),
        ("cross_validate fo", ["folds="]),
    ],
)
def test_words_that_fit(words, line, expected):
    assert words(line) == expected


@pytest.fixture
def program(tmp_path):
    """A folder with the command as it is installed."""
    place = tmp_path / "bin"
    place.mkdir()
    script = place / "dermasense"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m dermasense "$@"\n')
    script.chmod(0o755)
    return place


def shell(name: str, code: str, program: Path) -> list[str]:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not on this machine")
    env = os.environ | {"PATH": f"{program}:{os.environ['PATH']}"}
    ended = subprocess.run([name, "-c", code], capture_output=True, text=True, env=env)
    assert ended.returncode == 0 and not ended.stderr, ended.stderr
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dermasense tra", ["train"]),
        ("dermasense train los", ["loss.", "loss="]),
        ("dermasense train loss=", ["ce", "distill", "focal", "group_dro", "weighted_ce"]),
        ("dermasense train loss=focal augment=st", ["strong"]),
    ],
)
def test_bash_gets_what_stands_after_the_equals_sign(line, expected, program):
    code = f"""
        eval "$(dermasense completion bash)"
        COMP_LINE='{line}' COMP_POINT={len(line)}
        _dermasense dermasense
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert shell("bash", code, program) == expected


def test_fish_gets_whole_words_and_files(program):
    code = f"""
        dermasense completion fish | source
        complete -C 'dermasense train loss=fo'
        complete -C 'dermasense predict images={program}/derma'
    """
    assert shell("fish", code, program) == ["loss=focal", f"images={program}/dermasense"]


def test_zsh_reads_its_script(program):
    code = 'autoload -U compinit; compinit -u -D; eval "$(dermasense completion zsh)"'
    assert shell("zsh", f"{code}; print $_comps[dermasense]", program) == ["_dermasense"]


def test_another_shell_is_refused(call_command):
    code, _, err = call_command(console, "completion", "bsh")
    assert code == 2 and "did you mean 'bash'" in err
    code, _, err = call_command(console, "completion")
    assert code == 2 and all(name in err for name in SCRIPTS)
