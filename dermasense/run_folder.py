"""The folder that a run leaves: what lies where, who holds it, and how far it got."""

import contextlib
import os
import re
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml

from dermasense.errors import DermaSenseError
from dermasense.files import read_json, read_yaml, why_refused, write_json, write_text
from dermasense.provenance import environment, shell_line

try:
    import fcntl
except ImportError:  # Windows: two processes in one folder are not kept apart there
    fcntl = None

LOCK, PLAN = ".lock", "cross_validation.json"
SWEEP = "multirun.yaml"  # which Hydra writes into the folder of a sweep
FAILED = "failed.json"  # of a trial or fold: why
SPLIT_COLUMNS = ["image_id", "group", "label", "split"]  # of splits.csv
# Folders that this process holds, with its number: a fork holds none of them.
_held: set[tuple[int, str]] = set()


@dataclass(frozen=True)
class RunFolder:
    """Names of everything in a run folder."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def splits(self) -> Path:
        return self.path / "splits.csv"

    @property
    def skipped(self) -> Path:
        return self.path / "skipped.csv"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def start(self) -> Path:
        """A bundle: the network as an unfinished run began."""
        return self.checkpoints / "start"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def table(self) -> Path:
        return self.path / "results.txt"

    @property
    def explained(self) -> Path:
        return self.path / "explained"

    @property
    def finished(self) -> Path:
        return self.path / "finished.json"

    def predictions(self, split: str) -> Path:
        """Predictions table of a split, or "oof", out of fold."""
        return self.path / f"predictions_{split}.parquet"

    @property
    def out_of_fold(self) -> Path:
        """The out-of-fold table of a cross-validation; of a repeated one the first repeat's."""
        repeat = self.path / "repeat_0"
        return RunFolder(repeat if repeat.is_dir() else self.path).predictions("oof")

    @contextlib.contextmanager
    def held(self, patience: float = 0) -> Iterator[None]:
        """Holds the folder, so that no second process writes into it.

        Args:
            patience: seconds to wait for another process to let go.

        Within one that holds it already, this changes nothing.

        Raises:
            DermaSenseError: where another process holds it.
        """
        key = (os.getpid(), os.path.realpath(self.path))
        if key in _held:  # to close a second handle would let go of the lock
            yield
            return
        until = time.monotonic() + patience
        while (handle := self._lock()) is None:
            if time.monotonic() >= until:
                raise DermaSenseError(
                    f"another process is at work in {self.path}; wait for it, or name another "
                    "folder with out=..."
                )
            time.sleep(0.2)
        with handle:
            _held.add(key)
            try:
                yield
            finally:
                _held.discard(key)

    def _lock(self) -> TextIO | None:
        """The lock file, locked; None where another process holds it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = open(self.path / LOCK, "w")  # noqa: SIM115 - `held` closes it
        except FileNotFoundError:  # its last holder is removing the folder
            return None
        except (FileExistsError, NotADirectoryError) as error:
            raise DermaSenseError(why_refused(error, self.path)) from None
        if fcntl is None:
            return handle
        try:
            # A record lock: flock would live on in loader processes that outlast a kill.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle.fileno()), os.stat(self.path / LOCK)):
                return handle
        except OSError:
            pass
        handle.close()
        return None

    def refuse_a_run(self, *, goes_on: bool = True) -> None:
        """Refuses a folder with a run or a cross-validation in it.

        Args:
            goes_on: whether the command could go on with one.

        Raises:
            DermaSenseError: there is one.
        """
        for place, what in ((self.config, "run"), (self.path / PLAN, "cross-validation")):
            if place.exists():
                way = (
                    f"go on with it by {shlex.quote(f'resume={self.path}')}, or " if goes_on else ""
                )
                raise DermaSenseError(
                    f"{self.path} holds a {what} already; {way}name another folder with out=..."
                )

    def refuse_a_sweep(self) -> None:
        """Refuses the folder of a sweep, where a run would be hidden among its trials.

        Raises:
            DermaSenseError: it is one.
        """
        if (self.path / SWEEP).exists():
            raise DermaSenseError(
                f"{self.path} holds a sweep already; {self._sweep_goes_on}, or name another folder "
                "with out=..."
            )

    @property
    def _sweep_goes_on(self) -> str:
        return f"it goes on with the command that began it and {shlex.quote(f'out={self.path}')}"

    def begin(self, settings: dict, overrides: list[str], command: str | None = None) -> None:
        """Records what the run is made of, before anything that takes time.

        Args:
            settings: the resolved configuration.
            overrides: the words that make it, for train.
            command: that trains this run; None: the one that was typed.

        Raises:
            DermaSenseError: where the folder holds a run already.
        """
        self.refuse_a_run()
        known = environment() | ({} if command is None else {"command": command})
        write_json(self.environment, {**known, "overrides": overrides})
        write_text(self.config, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))

    def withdraw(self) -> None:
        """Takes back what `begin` recorded, of a run that was refused before it trained.

        The folder can then be named again; a run that has trained is left as it is.
        """
        if not self.checkpoints.exists():
            for path in (self.config, self.environment, self.splits, self.skipped):
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes what a killed process of this run was writing; held by this one alone."""
        for folder in (self.path, self.checkpoints, self.start, self.bundle):
            for orphan in folder.glob(".*.tmp"):
                if re.fullmatch(r"\..+\.\d+\.tmp", orphan.name) and orphan.is_file():
                    orphan.unlink(missing_ok=True)

    def read_config(self) -> tuple[list[str], dict]:
        """The command line and the resolved settings of the run.

        Raises:
            DermaSenseError: where the folder holds no run, or a damaged one.
        """
        if not self.config.is_file() and (self.path / SWEEP).exists():
            raise DermaSenseError(
                f"{self.path} holds a sweep, whose trials are the runs in it: name one of them. "
                f"As a whole {self._sweep_goes_on}."
            )
        if not self.config.is_file():
            raise DermaSenseError(
                f"{self.path} holds no run (no config.yaml in it); name a folder that "
                "`python -m dermasense.train` made, or start the run anew."
            )
        settings = read_yaml(self.config)
        known = read_json(self.environment) if self.environment.is_file() else None
        if not isinstance(settings, dict):
            raise DermaSenseError(f"{self.config} is damaged: it holds no options.")
        if not isinstance(known, dict) or not isinstance(known.get("overrides"), list):
            raise DermaSenseError(f"{self.environment} is damaged: it does not tell the command.")
        return known["overrides"], settings


def bundle_in(folder: Path) -> Path:
    """The bundle in a run's folder; any other place, such as a bundle itself, as it is."""
    inside = RunFolder(folder).bundle
    return inside if inside.is_dir() else folder


def run_around(folder: Path) -> Path:
    """The run's folder that a bundle lies in; any other place, such as a run's, as it is."""
    is_run = RunFolder(folder).bundle.is_dir()  # whatever its own name is
    return folder.parent if RunFolder(folder.parent).bundle == folder and not is_run else folder


def record_failure(folder: Path, error: Exception) -> float:
    """Writes `failed.json`: the reason, and for a fault of the program where it happened.

    Returns:
        NaN, the value of a trial that has none.
    """
    failure: dict[str, Any] = {"reason": str(error)}
    shown = str(error)
    if not isinstance(error, DermaSenseError):
        failure = {"reason": f"{type(error).__name__}: {error}"}
        failure["traceback"] = "".join(traceback.format_exception(error)).splitlines()
        shown = f"{failure['reason']} (traceback in {folder / FAILED})"
    write_json(folder / FAILED, failure)
    print(f"trial {folder.name} failed: {shown}", file=sys.stderr)
    return float("nan")


def refuse_cross_validation(folder: Path) -> None:
    """Refuses the folder of a cross-validation where that of one model is asked for.

    Raises:
        DermaSenseError: it is one.
    """
    if (folder / PLAN).is_file():
        folds = sorted((*folder.glob("fold_*"), *folder.glob("repeat_*/fold_*")))
        raise DermaSenseError(
            f"{folder} is a cross-validation, of several models; name one fold "
            f"({folds[0] if folds else folder / 'fold_0'}), or make one model of them by "
            f"{shell_line('ensemble', f'runs={folder}')}."
        )


def of_hydra(job: str) -> set[str]:
    """All that lies in the folder of a command, by its job's name, of which nothing came."""
    return {LOCK, SWEEP, ".hydra", f"{job}.log"}
