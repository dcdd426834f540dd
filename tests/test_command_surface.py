"""One `dermasense` for all commands: the same verbs, names of options and exit codes everywhere."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from dermasense import __main__ as console
from dermasense.cli import out_word
from dermasense.commands import commands
from dermasense.help_text import own_options
from dermasense.hydra_words import conf_folder

ROOT = Path(__file__).resolve().parents[1]
VERBS = list(commands())
# Other words for what has a name already.
OTHER_NAMES = ("checkpoint", "dir", "folder", "image", "input", "output", "output_dir", "path",
               "model_dir", "model_path", "validation", "ckpt", "truth", "dataset")  # fmt: skip


def module_of(verb):
    return importlib.import_module(f"dermasense.{verb}")


@pytest.fixture(scope="module")
def page():
    import commands_page

    return commands_page


@pytest.fixture(scope="module")
def options(page):
    return page.all_options()


def test_every_module_with_a_main_is_a_command():
    with_main = {
        path.stem
        for path in (ROOT / "dermasense").glob("*.py")
        if re.search(r"^def main\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert with_main - {"__main__"} == set(VERBS)


def test_the_console_script_is_installed_by_that_name():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"dermasense": "dermasense.__main__:main"}


def test_help_lists_every_command_with_its_sentence(call_command):
    code, printed, _ = call_command(console, "--help")
    assert code == 0
    for verb, sentence in commands().items():
        assert re.search(rf"^  {verb} +{re.escape(sentence)}$", printed, re.MULTILINE)
        assert sentence and sentence[0].islower()
    assert call_command(console)[1] == printed


def test_the_page_has_every_command_and_option(page, options):
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.page_with_table(text, options) == text, "run python benchmarks/commands_page.py"
    meanings = text.partition("## The same everywhere")[2].partition("\n## ")[0]
    for option in page.shared(options):
        assert f"`{option}" in meanings, f"docs/commands.md says nothing of {option}"


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_is_another_name_for_one_that_all_have(verb):
    settings = yaml.safe_load((conf_folder() / f"{verb}.yaml").read_text(encoding="utf-8"))
    assert not {*settings} - {"defaults"} & {*OTHER_NAMES}


@pytest.mark.parametrize("verb", VERBS)
def test_a_mistyped_option_is_2_and_the_near_name(verb, run_command):
    settings = yaml.safe_load((conf_folder() / f"{verb}.yaml").read_text(encoding="utf-8"))
    near = next(name for name in settings if name not in ("defaults", "name") and len(name) > 4)
    code, printed, err = run_command(module_of(verb), f"{near}x=1")
    assert code == 2 and not printed
    assert err.startswith(f"error: {near}x is no option; did you mean") and f"'{near}'" in err
    assert err.count("\n") == 1 and "Traceback" not in err


@pytest.fixture
def failing(monkeypatch):
    """The module of a command that raises this as it begins."""

    def make(verb: str, error: BaseException):
        def begun(*_):
            raise error

        monkeypatch.setattr(module_of(verb), "start", begun)
        return module_of(verb)

    return make


@pytest.mark.parametrize("verb", VERBS)
def test_interrupted_is_130(verb, call_command, here, failing):
    code, _, err = call_command(failing(verb, KeyboardInterrupt()))
    assert code == 130 and "interrupted" in err


def test_a_fault_of_the_program_keeps_its_traceback(call_command, here, failing):
    with pytest.raises(ZeroDivisionError):  # with which Python ends with 1
        call_command(failing("runs", ZeroDivisionError("a fault")))


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_help_takes_at_most_three_seconds_of_processor(verb, tmp_path):
    before = os.times()
    words = [sys.executable, "-m", "dermasense", verb, "--help"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=_env())
    after = os.times()
    assert ended.returncode == 0, ended.stderr
    assert f"python -m dermasense.{verb}" in ended.stdout
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system <= 3


def _env():
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_a_command_is_run_as_its_module_is(tmp_path):
    words = [sys.executable, "-m", "dermasense", "runs", "root=nowhere"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=_env())
    assert ended.returncode == 2 and ended.stderr.startswith("error: root=nowhere: no such folder")


def test_a_mistyped_command_is_2_and_the_near_name(call_command):
    code, _, err = call_command(console, "trian")
    assert code == 2 and err == "error: trian is no command; did you mean 'train'?\n"


def test_out_names_the_folder_of_a_run_and_of_a_multirun():
    assert out_word("out=my run (1)", False) == 'hydra.run.dir="my run (1)"'
    assert out_word("out=runs/a,b", True) == 'hydra.sweep.dir="runs/a,b"'
    assert out_word("output=x", False) == "output=x"


def test_a_run_is_left_where_out_says(command, tmp_path, here):
    run = tmp_path / "run (1)"
    words = ["model.image_size=32", "weights=none", "num_workers=0", "limit_epochs=1",
             "phases=frozen", "data.n_lesions=60", "data.image_px=32", "logger=none"]  # fmt: skip
    code, _, err = command(f"out={run}", *words)
    assert code == 0, err
    assert (run / "finished.json").is_file() and not list(here.iterdir())
    code, _, err = command(f"out={run}", *words)
    assert code == 2 and "holds a run already" in err and "out=..." in err


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_each_option_means_and_the_choices_of_its_own_groups(verb, call_command):
    printed = call_command(module_of(verb), "--help")[1]
    text = (conf_folder() / f"{verb}.yaml").read_text(encoding="utf-8")
    above = re.search(r"^(?:#.*\n|\s)*defaults:\n(?:  .*\n)*", text, re.MULTILINE)[0]
    own = text.removeprefix(above).partition("\nhydra:")[0]
    comments = [line for line in own.splitlines() if line.startswith("#")]
    assert comments and all(line in printed for line in comments)
    groups = {*re.findall(r"^  - (\w+): ", above, re.MULTILINE)}
    if verb == "cross_validate":
        groups = {*re.findall(r"^  - (\w+): ", (conf_folder() / "train.yaml").read_text(), re.M)}
    listed = printed.partition("Choices, as group=choice:\n")[2].partition("Options, as key=")[0]
    launched = {"launcher"} if verb in ("cross_validate", "predict", "serve", "train") else set()
    assert {*re.findall(r"^(\w+): ", listed, re.MULTILINE)} == groups | launched
    for group in groups:
        for choice in (conf_folder() / group).glob("*.yaml"):
            assert re.search(rf"\b{choice.stem}\b", listed), f"{group}={choice.stem}"


def test_an_option_whose_name_is_quoted_has_its_comment():
    shown = own_options(conf_folder(), "runs")
    assert shown["yes"].startswith("# true deletes") and "deletes" not in shown["csv"]


def test_a_command_of_ones_own_may_begin_with_one_of_ours(tmp_path):
    text = "---\ndefaults:\n  - explain\n  - _self_\n# How often.\ntimes: 2\n"
    (tmp_path / "mine.yaml").write_text(text)
    shown = own_options(tmp_path, "mine")
    assert shown["times"] == "# How often.\ntimes: 2\n"
    assert shown["images"] == own_options(conf_folder(), "explain")["images"]


def test_help_shows_what_a_choice_sets(call_command):
    printed = call_command(module_of("decide"), "decision=raps", "decision.alpha=.3", "--help")[1]
    assert "Raps\n  alpha: 0.3" in printed
    printed = call_command(module_of("train"), "experiment=b1_se", "--help")[1]
    assert "\nname: b1_se\n" in printed and "decision" not in printed
    code, _, err = call_command(module_of("train"), "experiment=b1_sse", "--help")
    assert code == 2 and "experiment=b1_sse is no choice; did you mean 'b1_se'" in err
