"""A schedule of phases: each is one `fit` from the best weights so far, and resumes where cut."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from dermasense.data.datamodule import LesionData
from dermasense.errors import DermaSenseError, nearest
from dermasense.evaluation.metrics import MONITORS
from dermasense.models.boundaries import IMAGE
from dermasense.models.classifier import Classifier
from dermasense.training.boundary_cache import BoundaryCache
from dermasense.training.checkpoint import CheckpointFolder, Progress
from dermasense.training.keeper import PhaseKeeper
from dermasense.training.module import LesionClassifier
from dermasense.training.optimizers import build_optimizer
from dermasense.training.progress import ProgressLine, TrainingLog
from dermasense.training.schedules import build_schedule

log = logging.getLogger(__name__)

# Device notices and advertisements; warnings still come through.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Phase:
    """One phase of a schedule.

    Attributes:
        name: what it is called in logs and files.
        epochs: most epochs it takes.
        unfreeze: what of the backbone trains: a number of Keras layers from its end, "blocks:N",
            "all", or 0 for nothing; the head always trains.
        lr: peak learning rate.
        patience: epochs without a better monitor after which it ends; None never ends it early.
        scheduler: name and options of its own schedule; None takes the run's.
    """

    name: str
    epochs: int
    unfreeze: int | str
    lr: float
    patience: int | None = None
    scheduler: dict | None = None


def parse_phases(phases: dict[str, dict]) -> list[Phase]:
    """Phases of a config, in order.

    Raises:
        DermaSenseError: no phase, an option that is unknown or missing, or a value that is no good.
    """
    if not phases:
        raise DermaSenseError("phases is empty: name at least one, for example phases=frozen.")
    known = [field.name for field in fields(Phase) if field.name != "name"]
    parsed = []
    for name, options in phases.items():
        for option in options:
            if option not in known:
                raise DermaSenseError(
                    f"phases.{name}.{option} is no option of a phase; {nearest(option, known)}"
                )
        for option in ("epochs", "unfreeze", "lr"):
            if options.get(option) is None:
                raise DermaSenseError(f"phases.{name}.{option} is missing: set it.")
        phase = Phase(name=name, **options)
        if not (isinstance(phase.epochs, int) and phase.epochs >= 1):
            raise DermaSenseError(f"phases.{name}.epochs={phase.epochs}: expected an integer >= 1.")
        if not (isinstance(phase.lr, int | float) and phase.lr > 0):
            raise DermaSenseError(f"phases.{name}.lr={phase.lr}: expected a number > 0.")
        parsed.append(phase)
    return parsed


@dataclass(frozen=True)
class Recipe:
    """How all phases of a run train; plain values from the config.

    Attributes:
        optimizer: options of `build_optimizer` but for the learning rate.
        scheduler: options of `build_schedule`, for phases that name none of their own.
        monitor: validation metric that picks the best weights and stops early.
        seed: seed of the run.
        ema_decay: decay of the moving average of the weights, None for none.
        every_n_steps: batches between checkpoints inside an epoch.
        trainer: arguments of Lightning's Trainer.
    """

    optimizer: dict
    scheduler: dict
    monitor: str
    seed: int
    ema_decay: float | None
    every_n_steps: int
    trainer: dict

    def check(self) -> None:
        """Tries what can be tried without data, so that a mistake is known in seconds.

        Raises:
            DermaSenseError: an unknown metric or optimizer, a schedule or trainer option that is
                no good, or a device that is not there.
        """
        if self.monitor not in MONITORS:
            raise DermaSenseError(
                f"monitor={self.monitor} is no validation metric; {nearest(self.monitor, MONITORS)}"
            )
        optimizer = build_optimizer(nn.Linear(1, 1), lr=1.0, **self.optimizer)
        build_schedule(optimizer, total_steps=10, mode="max", **self.scheduler)
        try:
            L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, **self.trainer)
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise DermaSenseError(f"trainer: {error}") from None


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
    on_phase: Callable[[str], None] = lambda name: None,
) -> Progress:
    """Walks the phases, leaving out what `folder` shows to be finished, and loads the best weights.

    Args:
        model: trained in place; afterwards it holds the best weights of all phases, frozen as in
            the last one.
        loss: the training loss.
        data: batches.
        phases: the schedule.
        recipe: how to train.
        folder: checkpoints of this run.
        loggers: Lightning loggers; steps count batches from the run's start.
        cache: where set, a phase trains on cached activations of what is constant in it.
        on_phase: called with a phase's name before it begins.

    Returns:
        Where training ended: best score and one history row an epoch.

    Raises:
        DermaSenseError: where training diverges.
        KeyboardInterrupt: on Ctrl-C; the folder can be resumed.
    """
    checkpoints = CheckpointFolder(folder)
    loaded = checkpoints.load()
    progress, states = loaded if loaded else (Progress(), None)
    if cache:
        cache.plan(model, [phase.unfreeze for phase in phases])
    for index, phase in enumerate(phases):
        if index < progress.phase:
            continue
        ended = progress.stopped or progress.epoch >= phase.epochs
        if not ended:
            on_phase(phase.name)
            if progress.best.file:
                checkpoints.load_weights(progress.best.file, model)
            model.freeze(phase.unfreeze)
            model.train()
            boundary = cache.prepare(model, data, ("train", "val")) if cache else IMAGE
            if cache and boundary == IMAGE:
                log.info("Phase %s: nothing is constant, so it trains on pictures.", phase.name)
            _fit(
                model, loss, data, phase, recipe, checkpoints, progress, states, phases, loggers,
                boundary,
            )  # fmt: skip
        states = None
        if index + 1 < len(phases):
            progress = replace(
                progress, phase=index + 1, epoch=0, batch=0, steps_taken=0, waited=0, stopped=False
            )
    if not progress.best.file:
        raise DermaSenseError(
            f"no epoch gave a finite {recipe.monitor} on the validation split; "
            "choose another monitor, such as monitor=nll."
        )
    checkpoints.load_weights(progress.best.file, model)
    model.freeze(phases[-1].unfreeze)
    return progress


def _fit(
    model, loss, data, phase, recipe, checkpoints, progress, states, phases, loggers, boundary
) -> None:
    torch.manual_seed(recipe.seed)
    scheduler = phase.scheduler or recipe.scheduler
    mode = MONITORS[recipe.monitor]
    module = LesionClassifier(
        model,
        loss,
        make_optimizer=lambda net: build_optimizer(net, lr=phase.lr, **recipe.optimizer),
        make_schedule=lambda optimizer, steps: build_schedule(
            optimizer, total_steps=steps, mode=mode, **scheduler
        ),
        seed=recipe.seed,
        phase=progress.phase,
        first_epoch=progress.epoch,
        first_batch=progress.batch,
        boundary=boundary,
        ema_decay=recipe.ema_decay,
    )
    keeper = PhaseKeeper(
        checkpoints,
        progress,
        states,
        phase=phase.name,
        monitor=recipe.monitor,
        patience=phase.patience,
        every_n_steps=recipe.every_n_steps,
    )
    trainer = L.Trainer(
        max_epochs=phase.epochs,
        callbacks=[
            keeper,
            ProgressLine(phase, progress.phase, len(phases), keeper),
            TrainingLog(loggers, keeper, before=_batches_before(data, phases, progress.phase)),
        ],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        **recipe.trainer,
    )
    # The position is ours, not Lightning's: a resumed fit is a fresh one that begins elsewhere.
    trainer.fit_loop.epoch_progress.current.processed = progress.epoch
    trainer.fit_loop.epoch_progress.current.completed = progress.epoch
    data.start_at(progress.phase, progress.epoch, progress.batch)
    with warnings.catch_warnings():
        # Lightning's own use of a name that torch has renamed; nothing a user can do about it.
        warnings.filterwarnings("ignore", message="`isinstance\\(treespec, LeafSpec\\)`")
        # Frozen layers are in eval mode on purpose; loader advice does not fit our batch samplers.
        warnings.filterwarnings("ignore", message="Found .* module.*in eval mode")
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message="The number of training batches")
        try:
            trainer.fit(module, datamodule=data)
        except SystemExit:
            raise KeyboardInterrupt from None


def _batches_before(data: LesionData, phases: list[Phase], index: int) -> int:
    return data.batches_per_epoch * sum(phase.epochs for phase in phases[:index])
