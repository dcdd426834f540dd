"""`python -m dermasense.train`: train, test and resume a classifier.

Research software, not a medical device.
"""

import sys
from pathlib import Path
from typing import Any

from dermasense.cli import MULTIRUN, argument, hydra_command, one_sentence, typed_words
from dermasense.errors import DermaSenseError
from dermasense.files import read_json
from dermasense.hydra_errors import compose_or_explain
from dermasense.older_run import refuse_another_version
from dermasense.overrides import flatten
from dermasense.provenance import shell_line
from dermasense.run_folder import RunFolder
from dermasense.sweeping.outcome import Pruned, record_pruned
from dermasense.sweeping.trial import TrialOf, this_trial

PATIENCE = 60  # seconds that a trial waits for a dying worker to let go of its folder


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    with one_sentence():
        if folder := argument("resume"):
            if set(MULTIRUN) & set(sys.argv):
                raise DermaSenseError(
                    "--multirun: resume= goes on with one run; leave it out. A sweep goes on with "
                    "the command that began it and out=<its folder>."
                )
            resume(RunFolder(Path(folder)))
        else:
            hydra_command(start, config_name="train")


def start(config: Any, folder: Path) -> float:
    """Begins a run in `folder`, or goes on with a trial that was cut there, whoever cut it.

    Returns the best value of the monitor; NaN for a trial that is stopped early.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    run, trial, hydra = RunFolder(folder), this_trial(), HydraConfig.get()
    words, multirun = typed_words(), hydra.mode == RunMode.MULTIRUN
    with run.held(PATIENCE if multirun else 0):
        if not (multirun and _goes_on(run, settings)):
            run.begin(settings, words, shell_line("train", *words) if multirun else None)
        elif run.finished.exists():
            return read_json(run.finished)["best"]["score"]
        else:
            run.clear()
        try:
            return _train(settings, run, trial)
        except Pruned as pruned:
            record_pruned(run.path, str(pruned))
            return float("nan")
        except DermaSenseError:
            run.withdraw()
            raise


def _goes_on(run: RunFolder, settings: dict) -> bool:
    """Whether this very trial lies there: of a worker that died, or of a sweep that was cut."""
    return run.config.is_file() and run.read_config()[1] == settings


def resume(run: RunFolder) -> None:
    """Goes on with a run that was cut, or says that it is finished.

    Raises:
        DermaSenseError: no run there, or an option that differs from the run's.
    """
    overrides, settings = run.read_config()
    asked = [word for word in sys.argv[1:] if not word.startswith("resume=")]
    finished = run.finished.exists()
    if not finished:
        refuse_another_version(overrides, settings, run.environment)
    if asked:
        _refuse_changes(settings, overrides, asked)
    if finished:
        print(f"{run.path} is finished; its numbers are in {run.metrics}.")
        return
    with run.held():
        run.clear()
        _train(settings, run)


def _train(settings: dict, run: RunFolder, trial: TrialOf | None = None) -> float:
    # torch and Lightning take seconds to import: --help and mistakes need not wait for them.
    from dermasense.experiment import run_experiment

    try:
        watch = trial.watch(settings["monitor"]) if trial else None
        return run_experiment(settings, run, after_epoch=watch)
    except KeyboardInterrupt:
        command = shell_line("train", f"resume={run.path}")
        raise KeyboardInterrupt(f"Go on with: {command}") from None


def _refuse_changes(settings: dict, overrides: list[str], asked: list[str]) -> None:
    from omegaconf import OmegaConf

    config = compose_or_explain("train", [*overrides, *asked])
    now = flatten(OmegaConf.to_container(config, resolve=True))
    before = flatten(settings)
    changed = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
    if changed:
        shown = ", ".join(f"{k} ({before.get(k)} -> {now.get(k)})" for k in changed[:5])
        raise DermaSenseError(
            f"a resumed run keeps its options, but these differ: {shown}; "
            "leave them out, or start a new run."
        )


if __name__ == "__main__":
    main()
