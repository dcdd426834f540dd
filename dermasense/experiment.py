"""One run from settings to a folder of results: data, model, phases, predictions, bundle."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from dermasense import assembly
from dermasense.data.catalog import Catalog
from dermasense.data.datamodule import LesionData
from dermasense.data.preprocess import InputSpec
from dermasense.evaluation.baselines import baselines
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import read_predictions, write_predictions
from dermasense.files import write_csv, write_json, write_text
from dermasense.inference.explaining.of_run import look_into_run
from dermasense.inference.logits import predict_logits
from dermasense.models.boundaries import IMAGE
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import Classifier
from dermasense.reporting.tables import class_table, final_table
from dermasense.reporting.tensorboard import build_loggers, log_augmented, log_evaluation
from dermasense.reporting.writing import report_run
from dermasense.run_folder import RunFolder
from dermasense.training.boundary_cache import BoundaryCache
from dermasense.training.phases import fit_phases


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
        DermaSenseError: on any mistake in settings or data.
    """
    phases, recipe = assembly.make_phases(settings), assembly.make_recipe(settings)
    recipe.check(phases)
    device = recipe.trainer["accelerator"]
    cache = assembly.make_cache(settings, device)
    tta = assembly.tta_of(settings)
    torch.manual_seed(settings["seed"])
    catalog = assembly.make_catalog(settings)
    model, spec, provenance = assembly.make_classifier(settings, len(catalog.class_names))
    # A mistake in the last phase is known before the first.
    assembly.check_boundaries(settings, model, phases)
    prepared = assembly.make_prepared(settings, catalog, spec, run)
    data = assembly.make_data(settings, prepared, spec)
    loss = assembly.make_loss(settings, data)
    loggers = build_loggers(run.path, **settings["logger"])
    if loggers:
        log_augmented(loggers, *_augmented_sample(data))
    assembly.say(f"run folder {run.path}")
    run.checkpoints.mkdir(exist_ok=True)  # from here on the folder is this run's; see `withdraw`

    progress = fit_phases(
        model,
        loss,
        data,
        phases,
        recipe,
        folder=run.checkpoints,
        loggers=loggers,
        cache=cache,
        after_epoch=after_epoch,
    )
    write_csv(run.history, progress.history, list(progress.history[0]))
    metrics = _judge(model, loss, data, cache, device, run, tta)
    if loggers:
        log_evaluation(loggers, metrics, run)
    _write_bundle(model, spec, prepared.catalog, provenance, metrics, run)
    images = settings.get("report", {}).get("images", True)  # runs of older versions have none
    if images:
        look_into_run(run, prepared.catalog.frame)
    report_run(run, prepared.catalog.frame, images=images)
    print(f"\n{_results(metrics, data, run)}\n")
    print(f"Everything lies in {run.path}; the report: {run.path / 'report.html'}")
    write_json(run.finished, {"seconds": round(progress.seconds, 1), "best": vars(progress.best)})
    return progress.best.score


def _augmented_sample(data: LesionData) -> tuple[np.ndarray, list[str]]:
    batch = data.augmented_sample()
    names = data.prepared.catalog.class_names
    return batch["x"].permute(0, 2, 3, 1).numpy(), [names[code] for code in batch["label"]]


def _judge(
    model: Classifier,
    loss: nn.Module,
    data: LesionData,
    cache: BoundaryCache | None,
    device: str,
    run: RunFolder,
    tta: dict[str, str],
) -> dict:
    """Writes predictions of validation and test, and the metrics of what was written."""
    names = data.prepared.catalog.class_names
    metrics = {
        "protocol": data.prepared.protocol,
        "note": data.prepared.catalog.note,
        "test_time_augmentation": tta["views"],
        "test_time_average": tta["average"],
    }
    # Turned pictures have activations of their own, which no cache holds.
    cached = cache is not None and tta["views"] == "none"
    boundary = cache.prepare(model, data, ("val", "test")) if cached else IMAGE
    if not cached:
        data.activations = {}
    for split in ("val", "test"):
        logits = predict_logits(model, data.evaluation_loader(split), device, boundary, **tta)
        write_predictions(run.predictions(split), data.frame(split), logits, names)
        table = read_predictions(run.predictions(split))
        summary = summarise(table, split_protocol=data.prepared.protocol)
        labels = torch.from_numpy(table.labels)
        summary["loss"] = loss.cpu()(torch.from_numpy(table.logits), labels).item()
        metrics[split] = summary
    write_json(run.metrics, metrics)
    return metrics


def _write_bundle(
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


def _results(metrics: dict, data: LesionData, run: RunFolder) -> str:
    """The table a run ends with, beside the answers that look at no picture; also `results.txt`."""
    test = read_predictions(run.predictions("test"))
    splits = {split: metrics[split] for split in ("val", "test")}
    notes = [metrics["note"]] if metrics["note"] else []
    blind = baselines(test.labels, test.class_names, data.class_counts)
    table = final_table(splits, blind, notes=notes)
    table += f"\n\n{class_table(metrics['test'])}"
    write_text(run.table, table + "\n")
    return table
