"""What a person sees while a phase trains: one line, and the loggers' curves."""

import sys
import time
from collections.abc import Callable, Sequence

import lightning as L
import torch

from dermasense.training.keeper import PhaseKeeper


class ProgressLine(L.Callback):
    """`phase 2/4 unfreeze_15 | epoch 1/3 | batch 120/340 | loss 0.412 | ... | 0:02:10 left`.

    On a terminal the line is rewritten twice a second; in a pipe it is printed once an epoch.
    """

    def __init__(self, phase, index: int, phases: int, keeper: PhaseKeeper):
        self.title = f"phase {index + 1}/{phases} {phase.name}"
        self.epochs, self.keeper = phase.epochs, keeper
        self.live = sys.stderr.isatty()
        self._shown = self._began = time.monotonic()
        self._walked = 0

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx: int) -> None:
        self._walked += 1
        now = time.monotonic()
        if self.live and now - self._shown > 0.5:
            self._shown = now
            walked = module.epoch_batch(batch_idx) + 1
            total = trainer.datamodule.batches_per_epoch
            left = (self.epochs - trainer.current_epoch) * total - walked
            seconds = (now - self._began) / self._walked * left
            loss = f"loss {outputs['loss'].item():.3f}"
            where = f"epoch {trainer.current_epoch + 1}/{self.epochs} | batch {walked}/{total}"
            self._write(f"{where} | {loss} | {self._score()}{_clock(seconds)} left", end="")

    def on_train_epoch_end(self, trainer, module) -> None:
        row = self.keeper.progress.history[-1]
        losses = f"loss {row['train_loss']:.3f} | val loss {row['val_loss']:.3f}"
        epochs_left = 0 if trainer.should_stop else self.epochs - row["epoch"]
        per_epoch = (time.monotonic() - self._began) / max(1, row["epoch"] - module.first_epoch)
        ending = "ended early" if trainer.should_stop else f"{_clock(per_epoch * epochs_left)} left"
        where = f"epoch {row['epoch']}/{self.epochs}"
        self._write(f"{where} | {losses} | {self._score()}{ending}", end="\n")

    def _score(self) -> str:
        history, monitor = self.keeper.progress.history, self.keeper.monitor
        if not history:
            return ""
        best = self.keeper.progress.best
        best_score = "none" if best.score is None else f"{best.score:.3f}"
        return f"{monitor} {history[-1][f'val_{monitor}']:.3f} (best {best_score}) | "

    def _write(self, text: str, end: str) -> None:
        start = "\r\033[K" if self.live else ""
        print(f"{start}{self.title} | {text}", end=end, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


class TrainingLog(L.Callback):
    """Losses, learning rates and validation scores for the loggers, on one axis for all phases.

    Args:
        loggers: Lightning loggers.
        keeper: the phase's keeper, whose history it reads; stands before it in the callbacks.
        before: batches of the phases before this one.
        every: batches between two training-loss points; each costs one synchronisation.
    """

    def __init__(self, loggers: list, keeper: PhaseKeeper, *, before: int, every: int = 50):
        self.loggers, self.keeper, self.before, self.every = loggers, keeper, before, every

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx: int) -> None:
        if (batch_idx + 1) % self.every == 0:
            rates = {f"lr/group_{index}": rate for index, rate in enumerate(module.rates[:8])}
            self._log({"train/loss": outputs["loss"].item(), **rates}, trainer, module, batch_idx)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        row = dict(self.keeper.progress.history[-1])
        named = {"train/loss_epoch": row["train_loss"], "lr/max": row["lr"]}
        named |= {
            key.replace("val_", "val/", 1): value
            for key, value in row.items()
            if key.startswith("val_")
        }
        step = self.before + row["epoch"] * trainer.datamodule.batches_per_epoch - 1
        for logger in self.loggers:
            logger.log_metrics({k: v for k, v in named.items() if _finite(v)}, step=step)
            logger.save()

    def _log(self, values: dict, trainer, module, batch_idx: int) -> None:
        epoch_start = trainer.current_epoch * trainer.datamodule.batches_per_epoch
        step = self.before + epoch_start + module.epoch_batch(batch_idx)
        for logger in self.loggers:
            logger.log_metrics(values, step=step)


class AfterEpoch(L.Callback):
    """Calls a function with the history of the run; stands after the keeper, which writes it."""

    def __init__(self, call: Callable[[Sequence[dict]], None], keeper: PhaseKeeper):
        self.call, self.keeper = call, keeper

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.call(self.keeper.progress.history)


def _finite(value: float) -> bool:
    return bool(torch.isfinite(torch.tensor(value)))
