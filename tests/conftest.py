"""What every room's tests share: real images where they lie beside the checkout, few threads."""

import functools
import os
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import pytest
import torch

# The networks here are tiny: threads cost more than they bring, and tests run beside each other.
torch.set_num_threads(1)

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def few_threads():
    """A command that a test calls sets the threads of this process: each test begins with one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data():
    """Path of a real data set by name; skips the test where it is not on this machine."""

    def find(name: str) -> Path:
        folder = REAL / name
        if not folder.is_dir():
            pytest.skip(f"no real images of {name} on this machine")
        return folder

    return find


@pytest.fixture(params=["", "/in/it"])
def refuses_a_file_as_folder(request, tmp_path):
    """Tries out= a file, and a folder in one, with a command that returns as `call_command` does.

    It is refused in one sentence, and the file stays.
    """

    def refused(command, *words: str) -> None:
        place = f"{tmp_path}/afile{request.param}"
        (tmp_path / "afile").write_text("mine")
        code, _, err = command(*words, f"out={place}")
        assert code == 2 and place in err and "is, or lies in, a file; name another" in err
        assert len(err.strip().splitlines()) == 1 and (tmp_path / "afile").read_text() == "mine"

    return refused


@pytest.fixture
def call_command(tmp_path, monkeypatch, capsys):
    """Calls `module.main()` with words in this process.

    Returns exit code, standard output, standard error.
    """
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.setenv("DERMASENSE_CACHE", str(tmp_path / "cache"))

    def call(module, *words: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", [module.__name__.rpartition(".")[2], *words])
        try:
            module.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def command(call_command, monkeypatch):
    """The train command, with a backbone of one convolution."""
    from dermasense import train
    from tests.fakes import stub_backbone

    monkeypatch.setattr("timm.create_model", stub_backbone)
    return functools.partial(call_command, train)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run_command(call_command, here):
    """As `call_command`, in an empty folder that must stay empty."""

    def call(module, *words: str) -> tuple[int, str, str]:
        result = call_command(module, *words)
        assert not list(here.iterdir())  # Hydra must leave nothing behind
        return result

    return call
