"""Hydra callback: one process alone in the folder of a run or sweep, before Hydra writes there."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf

from dermasense.cli import one_sentence
from dermasense.run_folder import LOCK, SWEEP, RunFolder
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
    run = RunFolder(Path(config.hydra[kind].dir))
    made = not run.path.exists()
    held.enter_context(run.held())
    if made:
        held.callback(_clear, run.path, {LOCK, SWEEP, ".hydra", f"{config.hydra.job.name}.log"})
    return run


def _clear(folder: Path, of_hydra: set[str]) -> None:
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= of_hydra:
        shutil.rmtree(folder, ignore_errors=True)
