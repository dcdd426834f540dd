"""From the settings of a run to its objects: phases, data, loss, cache."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from dermasense import terminal
from dermasense.data.balance import check_balance, stacked_balancing
from dermasense.data.catalog import Catalog
from dermasense.data.datamodule import LesionData
from dermasense.data.loading import load_catalog
from dermasense.data.prepared import Prepared, prepare_data
from dermasense.data.preprocess import InputSpec
from dermasense.errors import DermaSenseError, check_choice, check_options
from dermasense.files import write_csv
from dermasense.inference.teacher import teacher_logits
from dermasense.inference.unseen import check_unseen
from dermasense.inference.views import check_views
from dermasense.models.boundaries import POOLED
from dermasense.models.classifier import Classifier
from dermasense.own_choices import check_choice_names, own_loss, own_metrics
from dermasense.run_folder import SPLIT_COLUMNS, RunFolder
from dermasense.targets import build
from dermasense.training.boundary_cache import BoundaryCache
from dermasense.training.distill import Distillation, check_distillation
from dermasense.training.group_dro import build_group_dro
from dermasense.training.hardware import (
    resolve_device,
    resolve_precision,
    resolve_processes,
    resolve_workers,
)
from dermasense.training.logit_adjust import adjust_logits
from dermasense.training.losses import build_loss
from dermasense.training.mixing import MIXINGS
from dermasense.training.process_group import rank
from dermasense.training.recipe import Phase, Recipe, parse_phases

CACHES = ("none", "boundary")
PIXELS = ("loader", "device")
# Options that training reads itself; the others are those of Lightning's Trainer.
TRAINER = (
    "accelerator",
    "devices",
    "strategy",
    "sync_batchnorm",
    "timeout",
    "precision",
    "compile",
    "limit_train_batches",
)
log = logging.getLogger(__name__)


def say(text: str) -> None:
    """A line for the person at the terminal, by one of the processes that train together."""
    if rank() == 0:
        terminal.say(text)


def make_phases(settings: dict) -> list[Phase]:
    """The schedule, each phase cut to `limit_epochs`."""
    most = settings["limit_epochs"]
    phases = parse_phases(settings["phases"])
    return [replace(p, epochs=min(p.epochs, most)) for p in phases] if most else phases


def make_recipe(settings: dict) -> Recipe:
    """What all phases share, with every "auto" resolved.

    Raises:
        DermaSenseError: a choice without a name, an option of `TRAINER` that is missing, or a
            device that is not there.
    """
    check_choice_names(settings)
    trainer = dict(settings["trainer"])
    for key in TRAINER:
        if key not in trainer:
            raise DermaSenseError(f"trainer.{key} is missing: set it, or add defaults: [default].")
    device = resolve_device(trainer["accelerator"], trainer["devices"])
    trainer["devices"] = resolve_processes(trainer["devices"], trainer.pop("strategy"))
    trainer["accelerator"] = device
    trainer["precision"] = resolve_precision(trainer["precision"], device)
    trainer["limit_train_batches"] = 1.0  # the data module keeps the limit: a cut epoch needs it
    return Recipe(
        optimizer=settings["optimizer"],
        scheduler=settings["scheduler"],
        monitor=settings["monitor"],
        seed=settings["seed"],
        ema_decay=settings["ema_decay"],
        every_n_steps=settings["checkpoint"]["every_n_steps"],
        compiled=trainer.pop("compile"),
        sync_batchnorm=trainer.pop("sync_batchnorm"),
        timeout=trainer.pop("timeout"),
        trainer=trainer,
        mix=settings["balance"] if settings["balance"]["name"] in MIXINGS else None,
        metrics=own_metrics(settings["metrics"]),
    )


def check_boundaries(settings: dict, model: Classifier, phases: list[Phase]) -> None:
    """Freezes the model as each phase asks, and tries what the balance needs of its boundary.

    Raises:
        DermaSenseError: an `unfreeze` that is no good, or a balance that a phase cannot have.
    """
    balance = settings["balance"]
    name = balance["name"]
    cached = settings["cache"]["name"] == "boundary"
    if name == "smote_features" and not cached:
        raise DermaSenseError(
            "balance=smote_features blends pooled embeddings, which cache=none never has; use "
            "cache=boundary, or balance=smote for pixels"
        )
    for phase in phases:
        model.freeze(phase.unfreeze)
        pooled = model.constant_boundary == POOLED
        if name == "smote_features" and not pooled:
            raise DermaSenseError(
                "balance=smote_features blends pooled embeddings, which move in phase "
                f"{phase.name} (unfreeze={phase.unfreeze}); use phases=frozen, or balance=smote"
            )
        if name == "cutmix" and cached and pooled:
            raise DermaSenseError(
                "balance=cutmix pastes a part of one picture into another, and phase "
                f"{phase.name} trains on pooled vectors; use cache=none or balance=mixup"
            )


def make_catalog(settings: dict) -> Catalog:
    """The images to train on.

    Raises:
        DermaSenseError: where the data is not there, is for evaluation only, or has too few
            classes to train on or to monitor.
    """
    catalog = load_catalog(settings["data"], settings["split"])
    if catalog.evaluation_only:
        raise DermaSenseError(
            f"data={catalog.name} is for evaluation only: training on it, or choosing anything by "
            "it, would spoil it. Train on another data set."
        )
    if len(catalog.class_names) < 2:
        raise DermaSenseError(
            f"data={catalog.name} has one class ({', '.join(catalog.class_names)}), which leaves "
            "nothing to tell apart: add images of another class."
        )
    if settings["monitor"] == "top2" and len(catalog.class_names) < 3:
        raise DermaSenseError("monitor=top2: of two classes any two answers are right; use top1.")
    return catalog


def check_loss_and_balance(settings: dict, catalog: Catalog) -> None:
    """Tries both before a picture is decoded, the loss on counts of one image a class.

    What is code from outside is left out: nobody knows what it computes from the class counts.

    Raises:
        DermaSenseError: an unknown option, a value out of range, or two that do not go together.
    """
    loss, balance, names = settings["loss"], settings["balance"], catalog.class_names
    if "_target_" not in balance:
        check_balance(balance["name"], catalog.frame, **_options(balance))
    if loss["name"] == "distill":
        check_distillation(_options(loss), balance["name"])
    elif "_target_" not in loss:
        _loss_of(settings, np.ones(len(names)), names, catalog.frame)


def make_prepared(settings: dict, catalog: Catalog, spec: InputSpec, run: RunFolder) -> Prepared:
    """Checked rows, decoded pixels and the split, which is written to the run folder.

    Raises:
        DermaSenseError: bad rows; on resume, a split that is no longer that of the run.
    """
    options = settings["data"]
    prepared = prepare_data(
        catalog,
        spec,
        cache_dir=options["cache_dir"],
        on_error=options["on_error"],
        split=settings["split"],
        max_pixels=options["max_pixels"],
        progress=terminal.counter("decoding images once"),
    )
    frame = prepared.catalog.frame.assign(split=prepared.split)
    if run.splits.exists():
        _refuse_another_split(frame, run.splits)
    if rank():
        return prepared  # process 0 writes and speaks for all
    write_csv(run.splits, frame[SPLIT_COLUMNS].to_dict("records"), SPLIT_COLUMNS)
    write_csv(run.skipped, prepared.skipped, ["origin", "path", "reason"])
    counts = frame["split"].value_counts()
    shown = ", ".join(f"{name} {counts.get(name, 0)}" for name in ("train", "val", "test"))
    say(f"{catalog.name}: {len(frame)} images, {frame['group'].nunique()} groups ({shown})")
    if prepared.leaky:
        say("This split is leaky: images of one lesion stand on both sides of it.")
    for note in prepared.notes:
        say(note)
    if prepared.skipped:
        say(f"{len(prepared.skipped)} unreadable images left out, listed in {run.skipped}")
    if prepared.note:
        say(prepared.note)
    return prepared


def _refuse_another_split(frame: pd.DataFrame, path: Path) -> None:
    before = pd.read_csv(path, dtype=str, keep_default_na=False)
    now = frame[SPLIT_COLUMNS].astype(str).reset_index(drop=True)
    if not before.equals(now):
        merged = before.merge(now, how="outer", indicator=True)
        changed = merged.loc[merged["_merge"] != "both", "image_id"].nunique()
        raise DermaSenseError(
            f"the data has changed since this run began: {changed} images differ from {path}, so "
            "training images could come to stand in the test split; start a new run."
        )


def make_data(settings: dict, prepared: Prepared, spec: InputSpec) -> LesionData:
    """Loaders of the three splits; warns where two balancings stack."""
    stacked = stacked_balancing(settings["balance"]["name"], settings["loss"])
    if stacked:
        log.warning(
            "These balancings stack and shift the prior of the classes together: %s. Name one.",
            "; ".join(stacked),
        )
    return LesionData(
        prepared,
        balance=settings["balance"],
        augment=build(settings["augment"])(image_size=spec.image_size),
        batch_size=settings["batch_size"],
        num_workers=resolve_workers(settings["num_workers"]),
        seed=settings["seed"],
        overfit_batches=settings["overfit_batches"],
        limit_batches=settings["trainer"]["limit_train_batches"],
        pixels_on=_pixels_on(settings),
    )


def _pixels_on(settings: dict) -> str | None:
    place = settings["pixels"]
    check_choice("pixels", place, PIXELS)
    trainer = settings["trainer"]
    device = resolve_device(trainer["accelerator"], trainer["devices"])
    return device if place == "device" else None


def make_loss(settings: dict, data: LesionData) -> nn.Module:
    """The training loss, with weights from the training split's class counts where it has any."""
    if settings["loss"]["name"] == "distill":
        return _distillation(settings, data)
    names = data.prepared.catalog.class_names
    return _loss_of(settings, data.class_counts, names, data.frame("train"))


def _loss_of(
    settings: dict, class_counts: np.ndarray, class_names: Sequence[str], frame: pd.DataFrame
) -> nn.Module:
    loss, balance = settings["loss"], settings["balance"]
    if loss["name"] == "group_dro":
        return build_group_dro(_options(loss), frame, balance["name"])
    facts = {"class_counts": class_counts, "class_names": class_names}
    if "_target_" in loss:
        made = own_loss(loss, balance["name"], **facts)
    else:
        made = build_loss(loss["name"], _options(loss), **facts, balance=balance["name"])
    if balance["name"] == "logit_adjust":
        return adjust_logits(made, tau=balance["tau"], **facts)
    return made


def _options(choice: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in choice.items() if key != "name"}


def _distillation(settings: dict, data: LesionData) -> Distillation:
    """The loss that asks a teacher, whose answers are computed once."""
    options = check_distillation(_options(settings["loss"]), settings["balance"]["name"])
    prepared, teacher = data.prepared, options.pop("teacher")
    if unknown := check_unseen("loss.teacher", teacher, prepared):
        say(unknown)
    frame, trainer = prepared.catalog.frame, settings["trainer"]
    logits = teacher_logits(
        teacher,
        frame["path"].tolist(),
        np.flatnonzero(prepared.split.to_numpy() == "train"),
        prepared.catalog.class_names,
        cache_dir=settings["cache_dir"],
        device=resolve_device(trainer["accelerator"], trainer["devices"]),
        progress=terminal.counter("asking the teacher once"),
    )
    return Distillation(logits, **options)


def make_cache(settings: dict, device: str) -> BoundaryCache | None:
    """The boundary cache, or None.

    Raises:
        DermaSenseError: an unknown name or option, or a value that is no good.
    """
    options = dict(settings["cache"])
    name = options.pop("name", "")
    check_choice("cache.name", name, CACHES)
    if name == "none":
        return None
    check_options("cache", options, BoundaryCache, given=("device", "progress"))
    progress = terminal.counter("computing activations once")
    return BoundaryCache(settings["cache_dir"], **options, device=device, progress=progress)


def tta_of(settings: dict) -> dict[str, str]:
    """Views and average of validation and test.

    Raises:
        DermaSenseError: an option that is missing or unknown, or a value that is no good.
    """
    check_options("tta", settings["tta"], check_views)
    check_views(**settings["tta"])
    return settings["tta"]
