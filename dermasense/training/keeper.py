"""The callback that restores, judges and saves one phase."""

import math
import time

import lightning as L
import torch

from dermasense.errors import DermaSenseError
from dermasense.training.checkpoint import Best, CheckpointFolder, Progress
from dermasense.training.module import LesionClassifier


class PhaseKeeper(L.Callback):
    """Keeps the best weights, stops early, and saves so that a killed phase goes on bit for bit.

    Args:
        folder: where checkpoints lie.
        progress: where the phase stands; fresh, or read from a checkpoint.
        states: state_dicts to restore when the fit begins, or None for a fresh phase.
        phase: name of the phase.
        monitor: validation metric that decides.
        better: "max" where more of it is better, else "min".
        patience: epochs without improvement after which the phase ends; None never ends it early.
        every_n_steps: batches between checkpoints inside an epoch, or as many more as the optimizer
            needs for its step; 0 saves at the epoch's end only.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        progress: Progress,
        states: dict | None,
        *,
        phase: str,
        monitor: str,
        better: str,
        patience: int | None,
        every_n_steps: int,
    ):
        self.folder, self.progress, self.states = folder, progress, states
        self.phase, self.patience = phase, patience
        self.monitor, self.better = monitor, better
        self.every_n_steps = every_n_steps
        self._clock = time.monotonic()

    def on_train_start(self, trainer: L.Trainer, module: LesionClassifier) -> None:
        if not self.states:
            return
        try:
            module.load_saved(self.states["module"])
            trainer.optimizers[0].load_state_dict(self.states["optimizer"])
            module.schedule.scheduler.load_state_dict(self.states["schedule"])
        except torch.OutOfMemoryError:
            raise
        # Other tensors; others of them that train; a schedule of another kind.
        except (RuntimeError, ValueError, LookupError) as error:
            why = " ".join(str(error).split())[:160]
            raise DermaSenseError(
                f"the checkpoint in {self.folder.folder} is of another network, loss or schedule "
                f"than this version of DermaSense or timm makes ({why}); go on with the versions "
                "that the run's environment.json names, or begin the run anew in another folder."
            ) from None
        module.steps_taken = self.progress.steps_taken

    def on_train_batch_end(
        self, trainer: L.Trainer, module: LesionClassifier, outputs, batch, batch_idx: int
    ) -> None:
        walked = module.epoch_batch(batch_idx) + 1
        last = batch_idx + 1 == trainer.num_training_batches
        if self.every_n_steps and not last and walked % self._apart(trainer) == 0:
            self._save(trainer, module, epoch=trainer.current_epoch, batch=walked)

    def _apart(self, trainer: L.Trainer) -> int:
        """Batches between two checkpoints: as asked, or more, to the next optimizer step."""
        together = trainer.accumulate_grad_batches
        return -(-self.every_n_steps // together) * together

    def on_train_epoch_end(self, trainer: L.Trainer, module: LesionClassifier) -> None:
        progress, epoch_number = self.progress, trainer.current_epoch + 1
        training_loss = module.take_training_loss()
        if not (math.isfinite(training_loss) and math.isfinite(module.scores["loss"])):
            raise DermaSenseError(
                f"the loss is not a finite number in phase {self.phase}, epoch {epoch_number}; "
                "lower the phase's lr or set trainer.gradient_clip_val=1."
            )
        progress.history.append(
            {
                "phase": self.phase,
                "epoch": epoch_number,
                "lr": max(module.rates),
                "train_loss": training_loss,
                **{f"val_{name}": value for name, value in module.scores.items()},
            }
        )
        score = module.scores[self.monitor]
        module.schedule.after_epoch(score)
        if is_better(score, progress.best.score, self.better):
            progress.best = Best(score, f"{self.phase}.safetensors", self.phase, epoch_number)
            self.folder.save_weights(progress.best.file, module.evaluated)
            progress.waited = 0
        else:
            progress.waited += 1
        if self.patience is not None and progress.waited >= self.patience:
            progress.stopped = trainer.should_stop = True
        self._save(trainer, module, epoch=epoch_number, batch=0)

    def _save(
        self, trainer: L.Trainer, module: LesionClassifier, *, epoch: int, batch: int
    ) -> None:
        self.progress.epoch, self.progress.batch = epoch, batch
        self.progress.steps_taken = module.steps_taken
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now
        states = {
            "module": module.saved_state(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "schedule": module.schedule.scheduler.state_dict(),
        }
        self.folder.save(self.progress, states)


def is_better(score: float, best: float | None, mode: str) -> bool:
    """Whether a score beats the best so far; a NaN beats nothing."""
    if math.isnan(score):
        return False
    if best is None:
        return True
    return score > best if mode == "max" else score < best
