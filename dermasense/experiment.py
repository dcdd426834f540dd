"""One run from settings to a folder of results: data, model, phases, predictions, bundle."""

import logging
import sys
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from dermasense.data.balance import stacked_balancing
from dermasense.data.catalog import Catalog
from dermasense.data.datamodule import LesionData
from dermasense.data.prepared import Prepared, prepare_data
from dermasense.data.preprocess import InputSpec
from dermasense.errors import DermaSenseError, nearest
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import read_predictions, write_predictions
from dermasense.files import write_csv, write_json, write_text
from dermasense.inference.logits import predict_logits
from dermasense.models.boundaries import IMAGE
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import Classifier, build_classifier
from dermasense.reporting.tensorboard import build_loggers, log_augmented, log_confusion
from dermasense.run_folder import RunFolder
from dermasense.targets import build
from dermasense.training.boundary_cache import BoundaryCache
from dermasense.training.hardware import resolve_precision, resolve_workers
from dermasense.training.losses import build_loss
from dermasense.training.phases import fit_phases
from dermasense.training.recipe import Phase, Recipe, parse_phases

CACHES = ("none", "boundary")
log = logging.getLogger(__name__)


def run_experiment(settings: dict, run: RunFolder) -> float:
    """Trains, tests and reports; goes on where `run` shows that an earlier process was cut.

    Args:
        settings: the resolved configuration, plain containers.
        run: the folder of the run.

    Returns:
        The best value of the monitor on the validation split.

    Raises:
        DermaSenseError: on any mistake in settings or data.
    """
    phases, recipe, cache = _phases(settings), _recipe(settings), _cache(settings)
    recipe.check()
    torch.manual_seed(settings["seed"])
    catalog = _catalog(settings)
    model, spec, provenance = _model(settings, len(catalog.class_names))
    prepared = _prepared(settings, catalog, spec, run)
    data = _data(settings, prepared, spec)
    loss = _loss(settings, data)
    loggers = build_loggers(run.path, **settings["logger"])
    if loggers:
        log_augmented(loggers, *_sample(data))
    _say(f"run folder {run.path}")

    progress = fit_phases(
        model, loss, data, phases, recipe, folder=run.checkpoints, loggers=loggers, cache=cache
    )
    write_csv(run.history, progress.history, list(progress.history[0]))
    metrics = _judge(model, loss, data, cache, run)
    if loggers:
        log_confusion(loggers, metrics)
    _bundle(model, spec, prepared.catalog, provenance, metrics, run)
    _show(metrics, data, run)
    write_json(run.finished, {"seconds": round(progress.seconds, 1), "best": vars(progress.best)})
    return progress.best.score


def _show(metrics: dict, data: LesionData, run: RunFolder) -> None:
    from dermasense.evaluation.baselines import baselines
    from dermasense.reporting.tables import class_table, final_table

    test = read_predictions(run.predictions("test"))
    splits = {split: metrics[split] for split in ("val", "test")}
    notes = [metrics["note"]] if metrics["note"] else []
    blind = baselines(test.labels, test.class_names, data.class_counts)
    table = final_table(splits, blind, notes=notes)
    table += f"\n\n{class_table(metrics['test'])}"
    write_text(run.table, table + "\n")
    print(f"\n{table}\n\nEverything lies in {run.path}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _phases(settings: dict) -> list[Phase]:
    if settings["batch_size"] < 1:
        raise DermaSenseError(f"batch_size={settings['batch_size']}: expected an integer >= 1.")
    most = settings["limit_epochs"]
    phases = parse_phases(settings["phases"])
    return [replace(p, epochs=min(p.epochs, most)) for p in phases] if most else phases


def _recipe(settings: dict) -> Recipe:
    trainer = {
        **settings["trainer"],
        "precision": resolve_precision(settings["trainer"]["precision"]),
    }
    return Recipe(
        optimizer=settings["optimizer"],
        scheduler=settings["scheduler"],
        monitor=settings["monitor"],
        seed=settings["seed"],
        ema_decay=settings["ema_decay"],
        every_n_steps=settings["checkpoint"]["every_n_steps"],
        trainer=trainer,
    )


def _catalog(settings: dict) -> Catalog:
    catalog = build(settings["data"]["source"])
    if catalog.evaluation_only:
        raise DermaSenseError(
            f"data={catalog.name} is for evaluation only: training on it, or choosing anything by "
            "it, would spoil it. Train on another data set."
        )
    return catalog


def _model(settings: dict, num_classes: int) -> tuple[Classifier, InputSpec, dict]:
    weights = settings["weights"] or settings["model"]["weights"]
    options = {**settings["model"], "weights": weights}
    try:
        return build_classifier(num_classes=num_classes, head=settings["head"], **options)
    except (TypeError, ValueError) as error:  # torch's and timm's own words on a value
        raise DermaSenseError(f"model or head: {error}") from None


def _prepared(settings: dict, catalog: Catalog, spec: InputSpec, run: RunFolder) -> Prepared:
    options = settings["data"]
    prepared = prepare_data(
        catalog,
        spec,
        cache_dir=options["cache_dir"],
        on_error=options["on_error"],
        split=settings["split"],
        max_pixels=options["max_pixels"],
        progress=_decoding if sys.stderr.isatty() else None,
    )
    frame = prepared.catalog.frame.assign(split=prepared.split)
    columns = ["image_id", "group", "label", "split"]
    write_csv(run.splits, frame[columns].to_dict("records"), columns)
    write_csv(run.skipped, prepared.skipped, ["origin", "path", "reason"])
    counts = frame["split"].value_counts()
    shown = ", ".join(f"{name} {counts.get(name, 0)}" for name in ("train", "val", "test"))
    _say(f"{catalog.name}: {len(frame)} images, {frame['group'].nunique()} groups ({shown})")
    if prepared.leaky:
        _say("This split is leaky (image-level): images of one lesion stand on both sides of it.")
    if prepared.skipped:
        _say(f"{len(prepared.skipped)} unreadable images left out, listed in {run.skipped}")
    if catalog.note:
        _say(catalog.note)
    return prepared


def _decoding(done: int, total: int) -> None:
    _counting("decoding images once", done, total)


def _computing(done: int, total: int) -> None:
    _counting("computing activations once", done, total)


def _counting(what: str, done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r\033[K{what}: {done}/{total}", end=end, file=sys.stderr, flush=True)


def _data(settings: dict, prepared: Prepared, spec: InputSpec) -> LesionData:
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
    )


def _cache(settings: dict) -> BoundaryCache | None:
    options = dict(settings.get("cache", {"name": "none"}))  # runs of older versions name none
    name = options.pop("name")
    if name not in CACHES:
        raise DermaSenseError(f"cache.name={name} is unknown; {nearest(name, CACHES)}")
    if name == "none":
        return None
    gpu = torch.cuda.is_available() and settings["trainer"]["accelerator"] != "cpu"
    return BoundaryCache(
        settings["cache_dir"],
        **options,
        device="cuda" if gpu else "cpu",
        progress=_computing if sys.stderr.isatty() else None,
    )


def _sample(data: LesionData) -> tuple[np.ndarray, list[str]]:
    batch = data.augmented_sample()
    names = data.prepared.catalog.class_names
    return batch["x"].permute(0, 2, 3, 1).numpy(), [names[code] for code in batch["label"]]


def _loss(settings: dict, data: LesionData) -> nn.Module:
    names = data.prepared.catalog.class_names
    return build_loss(
        **settings["loss"],
        class_counts=data.class_counts,
        class_names=names,
        balance=settings["balance"]["name"],
    )


def _judge(
    model: Classifier,
    loss: nn.Module,
    data: LesionData,
    cache: BoundaryCache | None,
    run: RunFolder,
) -> dict:
    """Writes predictions of validation and test, and the metrics of what was written."""
    names = data.prepared.catalog.class_names
    metrics = {"protocol": data.prepared.protocol, "note": data.prepared.catalog.note}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    boundary = cache.prepare(model, data, ("val", "test")) if cache else IMAGE
    for split in ("val", "test"):
        logits = predict_logits(model, data.evaluation_loader(split), device, boundary)
        write_predictions(run.predictions(split), data.frame(split), logits, names)
        table = read_predictions(run.predictions(split))
        summary = summarise(table, split_protocol=data.prepared.protocol)
        labels = torch.from_numpy(table.labels)
        summary["loss"] = loss.cpu()(torch.from_numpy(table.logits), labels).item()
        metrics[split] = summary
    write_json(run.metrics, metrics)
    return metrics


def _bundle(
    model: Classifier,
    spec: InputSpec,
    catalog: Catalog,
    provenance: dict,
    metrics: dict,
    run: RunFolder,
) -> None:
    scores = {
        split: {key: value for key, value in metrics[split].items() if key != "confusion_matrix"}
        for split in ("val", "test")
    }
    info = {
        "weights_provenance": provenance,
        "training_data": catalog.name,
        "licence": catalog.licence,
        "citation": catalog.citation,
        "note": catalog.note,
        "protocol": metrics["protocol"],
        "metrics": scores,
        "temperature": 1.0,
    }
    save_bundle(run.bundle, model.cpu(), spec, catalog.class_names, info)
