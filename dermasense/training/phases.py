"""A schedule of phases: each is one `fit` from the best weights so far, and resumes where cut."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning as L
import torch
from torch import nn

from dermasense.data.datamodule import LesionData
from dermasense.data.sampling import limited
from dermasense.errors import DermaSenseError
from dermasense.models.boundaries import IMAGE
from dermasense.models.classifier import Classifier
from dermasense.training.boundary_cache import BoundaryCache
from dermasense.training.checkpoint import CheckpointFolder, Progress
from dermasense.training.ddp import PlainSignals, ddp_options
from dermasense.training.keeper import PhaseKeeper
from dermasense.training.mixing import build_mixing
from dermasense.training.module import LesionClassifier
from dermasense.training.optimizers import build_optimizer
from dermasense.training.process_group import barrier
from dermasense.training.progress import AfterEpoch, ProgressLine, TrainingLog
from dermasense.training.recipe import Phase, Recipe
from dermasense.training.schedules import build_schedule
from dermasense.training.sync_norm import norms_together

log = logging.getLogger(__name__)

# Device notices and advertisements; warnings still come through.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
# A profiler writes its report as info, and it is there only where it was asked for.
logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
# Lightning's own console would print it a second time where a command has set up logging.
for _handler in logging.getLogger("lightning").handlers:
    _handler.addFilter(lambda _record: not logging.getLogger().handlers)


def fit_phases(
    model: Classifier,
    loss: nn.Module,
    data: LesionData,
    phases: list[Phase],
    recipe: Recipe,
    *,
    folder: Path,
    loggers: list,
    cache: BoundaryCache | None = None,
    after_epoch: Callable[[Sequence[dict]], None] | None = None,
) -> Progress:
    """Walks the phases, leaving out what `folder` shows to be finished, and loads the best weights.

    Args:
        model: trained in place; afterwards it holds the best weights of all phases, frozen as in
            the last one.
        loss: the training loss.
        data: batches; where several processes train together, each walks its part of them.
        phases: the schedule.
        recipe: how to train.
        folder: checkpoints of this run.
        loggers: Lightning loggers; steps count batches from the run's start.
        cache: where set, a phase trains on cached activations of what is constant in it.
        after_epoch: called with the history when an epoch has been saved; may raise to end it all.

    Returns:
        Where training ended: best score and one history row an epoch.

    Raises:
        DermaSenseError: where training diverges.
        KeyboardInterrupt: on Ctrl-C; the folder can be resumed.
    """
    checkpoints = CheckpointFolder(folder, writes=data.shard.rank == 0)
    progress, states = checkpoints.load() or (Progress(), None)
    recipe = _as_begun(recipe, progress)
    if cache:
        cache.plan(model, [phase.unfreeze for phase in phases])
    walk = _Walk(model, loss, data, phases, recipe, checkpoints, loggers, cache, after_epoch)
    while True:
        phase = phases[progress.phase]
        if not (progress.stopped or progress.epoch >= phase.epochs):
            walk.fit(phase, progress, states)
        if not progress.best.file:
            raise DermaSenseError(
                f"no epoch of phase {phase.name} gave a finite {recipe.monitor} on the validation "
                "split; choose another monitor, such as monitor=nll."
            )
        if progress.phase + 1 == len(phases):
            break
        states = None
        progress = replace(
            progress,
            phase=progress.phase + 1,
            epoch=0,
            batch=0,
            steps_taken=0,
            waited=0,
            stopped=False,
        )
    barrier()  # process 0 has written the weights
    checkpoints.load_weights(progress.best.file, model)
    model.freeze(phases[-1].unfreeze)
    return progress


def _as_begun(recipe: Recipe, progress: Progress) -> Recipe:
    """The recipe in the precision of the run's first step: "auto" may mean another one here."""
    here = recipe.trainer.get("precision", "32-true")
    progress.precision = progress.precision or here
    if progress.precision != here:
        log.info("Going on in %s, in which the run was begun.", progress.precision)
    return replace(recipe, trainer={**recipe.trainer, "precision": progress.precision})


@dataclass(frozen=True)
class _Walk:
    """What all phases of a run share."""

    model: Classifier
    loss: nn.Module
    data: LesionData
    phases: list[Phase]
    recipe: Recipe
    checkpoints: CheckpointFolder
    loggers: list
    cache: BoundaryCache | None
    after_epoch: Callable[[Sequence[dict]], None] | None

    def fit(self, phase: Phase, progress: Progress, states: dict | None) -> None:
        """One phase, from the best weights so far or from where `states` were saved."""
        began = time.monotonic()
        barrier()  # process 0 has written the weights, and all have read where the phase stands
        if progress.best.file:
            self.checkpoints.load_weights(progress.best.file, self.model)
        self.model.freeze(phase.unfreeze)
        self.model.train()
        boundary = IMAGE
        if self.cache:
            boundary = self.cache.prepare(self.model, self.data, ("train", "val"))
            if boundary == IMAGE:
                log.info("Phase %s: nothing is constant, so it trains on pictures.", phase.name)
        torch.manual_seed(self.recipe.seed)
        module = self._module(phase, progress, boundary)
        trainer = self._trainer(phase, progress, states)
        self.data.start_at(progress.phase, progress.epoch, progress.batch)
        progress.seconds += time.monotonic() - began
        together = self.recipe.sync_batchnorm and self.data.shard.world > 1
        with warnings.catch_warnings(), norms_together(self.model, together):
            _ignore_what_is_meant()
            try:
                trainer.fit(module, datamodule=self.data)
            except SystemExit:  # Lightning's answer to Ctrl-C
                raise KeyboardInterrupt from None

    def _module(self, phase: Phase, progress: Progress, boundary: str) -> LesionClassifier:
        recipe, scheduler = self.recipe, phase.scheduler or self.recipe.scheduler
        classes = len(self.data.prepared.catalog.class_names)
        return LesionClassifier(
            self.model,
            self.loss,
            make_optimizer=lambda net: build_optimizer(net, lr=phase.lr, **recipe.optimizer),
            make_schedule=lambda optimizer, steps: build_schedule(
                optimizer, scheduler, total_steps=steps, mode=recipe.better
            ),
            seed=recipe.seed,
            phase=progress.phase,
            first_epoch=progress.epoch,
            first_batch=progress.batch,
            boundary=boundary,
            ema_decay=recipe.ema_decay,
            mixing=build_mixing(num_classes=classes, **recipe.mix) if recipe.mix else None,
            shard=self.data.shard,
            metrics=recipe.metrics,
            compiled=recipe.compiled,
        )

    def _trainer(self, phase: Phase, progress: Progress, states: dict | None) -> L.Trainer:
        keeper = PhaseKeeper(
            self.checkpoints,
            progress,
            states,
            phase=phase.name,
            monitor=self.recipe.monitor,
            better=self.recipe.better,
            patience=phase.patience,
            every_n_steps=self.recipe.every_n_steps,
        )
        earlier = sum(former.epochs for former in self.phases[: progress.phase])
        before = earlier * self.data.batches_per_epoch
        shard = self.data.shard
        seen = [
            ProgressLine(phase, progress.phase, len(self.phases), keeper),
            TrainingLog(self.loggers, keeper, before=before),
            *([AfterEpoch(self.after_epoch, keeper)] if self.after_epoch else []),
        ]
        trainer = L.Trainer(
            max_epochs=phase.epochs,
            callbacks=[
                keeper,
                *(seen if shard.rank == 0 else []),
                *([PlainSignals(shard)] if shard.world > 1 else []),
            ],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            **{**self.recipe.trainer, "limit_val_batches": self._validation_limit()},
            **ddp_options(shard),
        )
        # The position is ours, not Lightning's: a resumed fit is a fresh one that begins elsewhere.
        trainer.fit_loop.epoch_progress.current.processed = progress.epoch
        trainer.fit_loop.epoch_progress.current.completed = progress.epoch
        return trainer

    def _validation_limit(self) -> int | float:
        """The limit of validation, a share as a count: Lightning refuses a share below a batch."""
        limit = self.recipe.trainer.get("limit_val_batches", 1.0)
        if isinstance(limit, float) and limit < 1:
            return limited(len(self.data.val_dataloader()), limit)
        return limit


def _ignore_what_is_meant() -> None:
    """Silences warnings about what is so on purpose, and one that only Lightning can mend."""
    for message in (
        "Found .* module.*in eval mode",  # frozen layers
        ".*does not have many workers",  # chosen from the machine, or by the user
        "This DataLoader will create",
        "The number of training batches",  # a hint on logging, which is ours
        r"`isinstance\(treespec, LeafSpec\)`",  # Lightning's use of a name that torch renamed
    ):
        warnings.filterwarnings("ignore", message=message)
