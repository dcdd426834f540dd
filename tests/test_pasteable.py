"""Commands that are told and recorded, read back as a shell reads them."""

import json
import shlex

import pytest

from dermasense import cross_validate, experiment
from dermasense.run_folder import RunFolder
from tests.sweeping.trials import instant

WORDS = ["weights=none", "loss=focal", "phases=frozen"]
WORDS += ["loss.alpha=[1,1,1,1,1,1,0.5]", 'cache_dir="of (mine) & yours"']


@pytest.fixture
def place(tmp_path, here):
    """A folder whose name a shell and Hydra both read more into."""
    return tmp_path / "my, runs (2) of 'it'" / "a run"


@pytest.fixture
def cut(monkeypatch):
    """Training is interrupted in each run that has one of these names; elsewhere it is done."""

    def plant(*names: str):
        def run_experiment(settings, run, after_epoch=None):
            if run.path.name in names:
                raise KeyboardInterrupt
            return instant(settings, run, after_epoch)

        monkeypatch.setattr(experiment, "run_experiment", run_experiment)

    return plant


def told(said: str, name: str = "train") -> list[str]:
    """The words of the command that goes on, as the shell gives them to Python."""
    line = said.partition("Go on with: ")[2].splitlines()[0]
    python, flag, module, *words = shlex.split(line)
    assert [python, flag, module] == ["python", "-m", f"dermasense.{name}"]
    return words


def recorded(run: RunFolder) -> list[str]:
    return shlex.split(json.loads(run.environment.read_text())["command"])[3:]


def test_a_run_is_gone_on_with_and_made_again_by_what_it_tells(command, place, tmp_path, cut):
    cut(place.name)
    code, _, err = command(*WORDS, f"out={place}")
    assert code == 130, err
    assert told(err) == [f"resume={place}"]
    words = recorded(RunFolder(place))
    assert set(WORDS) <= set(words)
    again = [word for word in words if not word.startswith("hydra.run.dir=")]
    assert command(*again, f"out={tmp_path / 'again'}")[0] == 0
    assert RunFolder(tmp_path / "again").read_config()[1] == RunFolder(place).read_config()[1]
    cut()
    assert command(*told(err))[0] == 0
    code, _, err = command(f"out={place}")
    assert code == 2 and shlex.join([f"resume={place}"]) in err
    assert command(*words)[0] == 2  # the very folder


def test_a_fold_is_trained_alone_by_what_it_records(command, call_command, place, tmp_path, cut):
    cut("fold_1")
    code, _, err = call_command(cross_validate, *WORDS, "folds=2", f"out={place}")
    assert code == 130, err
    assert told(err, "cross_validate") == [f"resume={place}"]
    words = shlex.split(json.loads((place / "cross_validation.json").read_text())["command"])
    assert {*WORDS, "folds=2"} <= set(words)
    first = RunFolder(place / "fold_0")
    assert command(*recorded(first), f"out={tmp_path / 'alone'}")[0] == 0
    assert RunFolder(tmp_path / "alone").read_config()[1] == first.read_config()[1]


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_a_search_is_gone_on_with_by_what_it_tells(command, place, cut, sampler):
    cut("1")
    words = [f"hydra/sweeper={sampler}", "hydra.sweeper.n_trials=2", "loss.gamma=choice(1,2)"]
    code, _, err = command("--multirun", *WORDS, *words, f"out={place}")
    assert code == 130, err
    assert told(err)[-1] == f"out={place}"
    cut()
    code, _, said = command(*told(err))
    assert code == 0, said
    assert len(list(place.glob("*/finished.json"))) == 2
