"""One run from settings to a folder of results: data, model, phases, predictions, bundle."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from dermasense import assembly, starting_network
from dermasense.data.catalog import Catalog
from dermasense.data.datamodule import LesionData
from dermasense.data.preprocess import InputSpec
from dermasense.data.shard import Shard
from dermasense.devices.launch import together
from dermasense.errors import DermaSenseError, first_line
from dermasense.evaluation.baselines import baselines
from dermasense.evaluation.metrics import plain, summarise
from dermasense.evaluation.own_metric import own_scores
from dermasense.evaluation.predictions import read_predictions, write_predictions
from dermasense.files import write_csv, write_json, write_text
from dermasense.inference.explaining.of_run import look_into_run
from dermasense.inference.logits import predict_logits
from dermasense.inference.views import KEY
from dermasense.models.boundaries import IMAGE
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import Classifier
from dermasense.provenance import shell_line
from dermasense.reporting.tables import class_table, final_table
from dermasense.reporting.tensorboard import log_augmented, log_evaluation, open_loggers
from dermasense.reporting.writing import report_run
from dermasense.run_folder import RunFolder
from dermasense.training.boundary_cache import BoundaryCache
from dermasense.training.checkpoint import Progress
from dermasense.training.freed_memory import freed_memory_kept
from dermasense.training.phases import fit_phases
from dermasense.training.process_group import gathered_by_id
from dermasense.training.recipe import Phase, Recipe


@dataclass(frozen=True)
class _Parts:
    """The objects of a run."""

    phases: list[Phase]
    recipe: Recipe
    device: str
    cache: BoundaryCache | None
    tta: dict[str, str]
    model: Classifier
    spec: InputSpec
    provenance: dict
    data: LesionData
    loss: nn.Module

    @property
    def catalog(self) -> Catalog:
        return self.data.prepared.catalog


def _parts(settings: dict, run: RunFolder) -> _Parts:
    phases, recipe = assembly.make_phases(settings), assembly.make_recipe(settings)
    recipe.check()
    device = recipe.trainer["accelerator"]
    cache = assembly.make_cache(settings, device)
    tta = assembly.tta_of(settings)
    torch.manual_seed(settings["seed"])
    catalog = assembly.make_catalog(settings)
    assembly.check_loss_and_balance(settings, catalog)
    model, spec, provenance = starting_network.make_classifier(settings, catalog.class_names, run)
    # A mistake in the last phase is known before the first.
    assembly.check_boundaries(settings, model, phases)
    prepared = assembly.make_prepared(settings, catalog, spec, run)
    starting_network.check_weights(settings, prepared, run)
    data = assembly.make_data(settings, prepared, spec)
    data.share(Shard(0, recipe.trainer["devices"]))  # refused before anything takes time
    loss = assembly.make_loss(settings, data)
    return _Parts(phases, recipe, device, cache, tta, model, spec, provenance, data, loss)


def run_experiment(
    settings: dict,
    run: RunFolder,
    after_epoch: Callable[[Sequence[dict]], None] | None = None,
) -> float:
    """Trains, tests and reports; goes on where `run` shows that an earlier process was cut.

    Args:
        settings: the resolved configuration, plain containers.
        run: the folder of the run.
        after_epoch: called with the history, a row an epoch, when an epoch has been saved; what it
            raises ends the run.

    Returns:
        The best value of the monitor on the validation split.

    Raises:
        DermaSenseError: on any mistake in settings or data, or where a GPU is too small.
    """
    with _full_memory_told(run):
        parts = _parts(settings, run)
        with open_loggers(run.path, **settings["logger"]) as loggers:
            progress, metrics = _trained(parts, run, loggers, after_epoch)
    _write_bundle(parts, metrics, run)
    images = settings["report"]["images"]
    if images:
        look_into_run(run, parts.catalog.frame)
    report_run(run, parts.catalog.frame, images=images)
    print(f"\n{_results(metrics, parts.data, run)}\n")
    print(f"Everything lies in {run.path}; the report: {run.path / 'report.html'}")
    write_json(run.finished, {"seconds": round(progress.seconds, 1), "best": vars(progress.best)})
    starting_network.forget_start(run)
    return progress.best.score


@contextlib.contextmanager
def _full_memory_told(run: RunFolder) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        goes_on = run.checkpoints.exists()  # else nothing of it is kept
        again = shell_line("train", f"resume={run.path}") if goes_on else "the same command"
        raise DermaSenseError(
            f"the memory of the GPU is full ({first_line(error)}); begin anew in another folder "
            "with a smaller batch_size (trainer.accumulate_grad_batches=2 makes up for half of it) "
            f"or model.image_size. Where another program had taken the memory, go on by {again}"
        ) from error


def _trained(
    parts: _Parts,
    run: RunFolder,
    loggers: Sequence,
    after_epoch: Callable[[Sequence[dict]], None] | None,
) -> tuple[Progress, dict]:
    """Trains and tests: history, predictions and metrics stand afterwards."""
    if loggers:
        log_augmented(loggers, *_augmented_sample(parts.data))
    assembly.say(f"run folder {run.path}")
    run.checkpoints.mkdir(exist_ok=True)  # from here on the folder is this run's; see `withdraw`
    names = parts.catalog.class_names
    starting_network.keep_start(run, parts.model, parts.spec, names, parts.provenance)
    recipe = parts.recipe
    devices = recipe.trainer["devices"]
    with (
        freed_memory_kept(),
        together(run.path, devices, parts.device, recipe.timeout) as shard,
    ):
        progress = _fit(parts, run, shard, loggers, after_epoch)
        write_csv(run.history, progress.history, list(progress.history[0]))
        metrics = _judge(parts, run)
    if loggers:
        log_evaluation(loggers, metrics, run)
    return progress, metrics


def take_part(settings: dict, run: RunFolder, shard: Shard) -> None:
    """What a process does that is not the first: its part of every batch and split, no file.

    Args:
        settings: as process 0 has them.
        run: the folder of the run, which process 0 has begun.
        shard: which process this is.
    """
    with _full_memory_told(run), freed_memory_kept():
        parts = _parts(settings, run)
        _fit(parts, run, shard)
        list(_logits(parts))  # process 0 gathers them


def _fit(
    parts: _Parts,
    run: RunFolder,
    shard: Shard,
    loggers: Sequence = (),
    after_epoch: Callable[[Sequence[dict]], None] | None = None,
) -> Progress:
    parts.data.share(shard)
    return fit_phases(
        parts.model,
        parts.loss,
        parts.data,
        parts.phases,
        parts.recipe,
        folder=run.checkpoints,
        loggers=list(loggers),
        cache=parts.cache,
        after_epoch=after_epoch,
    )


def _augmented_sample(data: LesionData) -> tuple[np.ndarray, list[str]]:
    batch = data.augmented_sample()
    names = data.prepared.catalog.class_names
    return batch["x"].permute(0, 2, 3, 1).numpy(), [names[code] for code in batch["label"]]


def _logits(parts: _Parts) -> Iterator[tuple[str, np.ndarray | None]]:
    """The logits of validation and test, in the order of the split; None but in process 0."""
    model, data, cache, tta = parts.model, parts.data, parts.cache, parts.tta
    # Turned pictures have activations of their own, which no cache holds.
    cached = cache is not None and tta["views"] == "none"
    boundary = cache.prepare(model, data, ("val", "test")) if cached else IMAGE
    if not cached:
        data.activations = {}
    for split in ("val", "test"):
        loader = data.evaluation_loader(split)
        logits = predict_logits(model, loader, parts.device, boundary, **tta)
        if data.shard.world > 1:
            ids = data.frame(split)["image_id"].tolist()
            logits = gathered_by_id(ids[data.shard.part(len(ids))], logits, ids)
        yield split, logits


def _judge(parts: _Parts, run: RunFolder) -> dict:
    """Writes predictions of validation and test, and the metrics of what was written."""
    loss, data = parts.loss, parts.data
    names = data.prepared.catalog.class_names
    metrics = {
        "protocol": data.prepared.protocol,
        "groups_are": data.prepared.catalog.groups_are,
        "note": data.prepared.note,
        "test_time_augmentation": parts.tta["views"],
        "test_time_average": parts.tta["average"],
    }
    for split, logits in _logits(parts):
        write_predictions(run.predictions(split), data.frame(split), logits, names)
        table = read_predictions(run.predictions(split))
        summary = summarise(table, split_protocol=data.prepared.protocol)
        labels = torch.from_numpy(table.labels)
        own = own_scores(parts.recipe.metrics, table.logits, table.labels)
        summary |= {name: plain(value) for name, value in own.items()}
        summary["loss"] = loss.cpu()(torch.from_numpy(table.logits), labels).item()
        metrics[split] = summary
    write_json(run.metrics, metrics)
    return metrics


def _write_bundle(parts: _Parts, metrics: dict, run: RunFolder) -> None:
    catalog = parts.catalog
    scores = {
        split: {key: value for key, value in metrics[split].items() if key != "confusion_matrix"}
        for split in ("val", "test")
    }
    info = {
        "weights_provenance": parts.provenance,
        "training_data": catalog.name,
        "licence": catalog.licence,
        "citation": catalog.citation,
        "note": metrics["note"],
        "protocol": metrics["protocol"],
        "metrics": scores,
        "temperature": 1.0,
        KEY: parts.tta,
    }
    save_bundle(run.bundle, parts.model.cpu(), parts.spec, catalog.class_names, info)


def _results(metrics: dict, data: LesionData, run: RunFolder) -> str:
    """The table a run ends with, beside the answers that look at no picture; also `results.txt`."""
    test = read_predictions(run.predictions("test"))
    splits = {split: metrics[split] for split in ("val", "test")}
    notes = [metrics["note"]] if metrics["note"] else []
    blind = baselines(test.labels, test.class_names, data.class_counts)
    groups = data.prepared.catalog.groups_are
    table = final_table(splits, blind, notes=notes, groups=groups)
    table += f"\n\n{class_table(metrics['test'])}"
    write_text(run.table, table + "\n")
    return table
