"""What a cut phase needs to go on: plain containers, written atomically, checked when read."""

import logging
import os
import pickle
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dermasense.errors import DermaSenseError, first_line
from dermasense.files import write_atomically

log = logging.getLogger(__name__)


@dataclass
class Best:
    """The best weights so far, over all phases.

    Attributes:
        score: the monitored metric on the validation split, None before the first validation.
        file: name of the weights beside the checkpoints.
        phase: name of the phase that made them.
        epoch: epoch of that phase, from 1.
    """

    score: float | None = None
    file: str = ""
    phase: str = ""
    epoch: int = 0


@dataclass
class Progress:
    """Where a phase stands after its latest optimizer step or epoch.

    Attributes:
        phase: index of the phase.
        epoch: epoch to go on with, from 0.
        batch: first batch of it that has not been walked.
        steps_taken: optimizer steps of the phase.
        stopped: early stopping has ended the phase.
        waited: epochs of this phase since the monitor improved.
        best: best weights so far.
        history: one row an epoch: phase, epoch, lr (the largest of its last step), training loss
            and validation scores.
        seconds: training time of the whole run up to its latest checkpoint, less what a kill lost.
        precision: Lightning's, of all its steps; "" before the first phase.
    """

    phase: int = 0
    epoch: int = 0
    batch: int = 0
    steps_taken: int = 0
    stopped: bool = False
    waited: int = 0
    best: Best = field(default_factory=Best)
    history: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    precision: str = ""


class CheckpointFolder:
    """`last.ckpt`, the one before it, and the best weights of each phase, in one folder.

    Args:
        folder: where they lie.
        writes: False in all but one of the processes that train together: they only read.
    """

    def __init__(self, folder: Path, writes: bool = True):
        self.folder, self.writes = folder, writes
        self.last, self.previous = folder / "last.ckpt", folder / "previous.ckpt"

    def save(self, progress: Progress, states: dict) -> None:
        """Saves where training stands; the former checkpoint stays as `previous.ckpt`.

        Args:
            progress: where the phase stands.
            states: state_dicts of module, optimizer and schedule.
        """
        if not self.writes:
            return

        def write(temporary: Path) -> None:
            torch.save({"progress": asdict(progress), **states}, temporary)
            if self.last.exists():
                os.replace(self.last, self.previous)

        write_atomically(self.last, write)

    def load(self) -> tuple[Progress, dict] | None:
        """The newest checkpoint that is whole; None where there is none.

        A damaged file is named in a warning and passed over. A damaged `last.ckpt` is removed: the
        next save would move it over the whole one before it.

        Raises:
            DermaSenseError: a whole file that is no checkpoint of this version, or holds code.
        """
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                problem = _damage(path)
            except OSError as error:  # it may be whole and another time readable, so it stays
                log.warning("%s cannot be read (%s) and is passed over.", path, error)
                continue
            if problem:
                log.warning("%s is damaged (%s) and is passed over.", path, problem)
                if path == self.last and self.writes:
                    path.unlink(missing_ok=True)
                continue
            return _read(path)
        return None

    def save_weights(self, name: str, model: nn.Module) -> None:
        """Saves a network's weights as `name` (safetensors)."""
        if not self.writes:
            return
        tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
        write_atomically(self.folder / name, lambda temporary: save_file(tensors, temporary))

    def load_weights(self, name: str, model: nn.Module) -> None:
        """Loads weights saved by `save_weights`.

        Raises:
            DermaSenseError: where the file is missing or damaged.
        """
        path = self.folder / name
        try:
            model.load_state_dict(load_file(path))
        except Exception as error:
            raise DermaSenseError(
                f"{path} cannot be read ({error}); the run cannot go on: start it anew."
            ) from None


def _read(path: Path) -> tuple[Progress, dict]:
    try:
        states = torch.load(path, map_location="cpu", weights_only=True)
        values = states.pop("progress")
        return Progress(**{**values, "best": Best(**values["best"])}), states
    except (pickle.UnpicklingError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        code = "it holds code; " if isinstance(error, pickle.UnpicklingError) else ""
        raise DermaSenseError(
            f"{path} is whole, but no checkpoint of this DermaSense ({code}{first_line(error)}): "
            "it was changed, or written by another version; begin the run anew."
        ) from None


def _damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file: torch's zip holds a CRC of every tensor."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        return f"wrong checksum in {broken}" if broken else None
    except zipfile.BadZipFile as error:
        return str(error)
