"""Hydra callback: one process alone in the folder of a run or sweep, before Hydra writes there."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf, read_write

from dermasense.cli import one_sentence
from dermasense.hydra_words import hydra_text
from dermasense.run_folder import RunFolder, of_hydra
from dermasense.sweeping.plain import refuse_another_sweep

# What the running command holds; `hydra_command` closes it however the command ends.
held = ExitStack()


class HeldFolder(Callback):
    """Holds the folder to the end; a second command says so and leaves everything as it is.

    A folder that was made for a command, and that nothing came of, goes again. Hydra turns what its
    callbacks raise into warnings, and goes on: hence the exit.
    """

    def on_run_start(self, config: Any, **kwargs: Any) -> None:
        with one_sentence():
            run = _hold(config, "run")
            run.refuse_a_run()
            run.refuse_a_sweep()

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        with one_sentence():
            run = _hold(config, "sweep")
            run.refuse_a_run()
            if "sampler" not in config.hydra.sweeper:  # a search holds its plan against the folder
                refuse_another_sweep(run.path, OmegaConf.to_container(config))


def _hold(config: Any, kind: str) -> RunFolder:
    HydraConfig.instance().set_config(config)  # the folder's name may ask it
    path = Path(config.hydra[kind].dir)
    made = not path.exists()
    if "%S" in OmegaConf.to_container(config.hydra[kind])["dir"]:  # named by the second: a new one
        path, made = _first_free(path), True
        with read_write(config.hydra):
            config.hydra[kind].dir = str(path)
            config.hydra.overrides.hydra.append(f"hydra.{kind}.dir={hydra_text(str(path))}")
    run = RunFolder(path)
    held.enter_context(run.held())
    if made:
        held.callback(_clear, run.path, of_hydra(config.hydra.job.name))
    return run


def _first_free(path: Path) -> Path:
    """Makes `path`; where another command of the same second was first, path_1, path_2, ..."""
    place, number = path, 0
    while True:
        try:
            place.mkdir(parents=True)
        except NotADirectoryError:  # who holds it says so
            return place
        except FileExistsError:
            if not os.path.lexists(place):  # it is a folder above that is no folder
                return place
            number += 1
            place = path.with_name(f"{path.name}_{number}")
        else:
            return place


def _clear(folder: Path, names: set[str]) -> None:
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= names:
        shutil.rmtree(folder, ignore_errors=True)
