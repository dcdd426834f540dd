"""Loggers of a run and the figures it writes to them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch.loggers as lightning_loggers
import numpy as np
from scipy.special import softmax

from dermasense.evaluation.predictions import read_predictions
from dermasense.reporting.csv_log import CsvLog
from dermasense.reporting.tables import number
from dermasense.run_folder import RunFolder


@contextlib.contextmanager
def open_loggers(folder: Path, *, tensorboard: bool, csv: bool) -> Iterator[list]:
    """Loggers, as Lightning's, that write into a run folder; afterwards their files are closed.

    TensorBoard's holds a thread and a file, which a sweep in one process would gather by the trial.
    """
    loggers = []
    if tensorboard:
        logger = lightning_loggers.TensorBoardLogger(str(folder), name="", version="tensorboard")
        loggers.append(logger)
    if csv:
        loggers.append(CsvLog(folder / "csv"))
    try:
        yield loggers
    finally:
        for logger in loggers:
            logger.finalize("success")


def log_images(loggers: list, name: str, figure) -> None:
    """Writes a matplotlib figure to those loggers that show pictures, then frees it."""
    import matplotlib.pyplot as plt

    for logger in loggers:
        if isinstance(logger, lightning_loggers.TensorBoardLogger):
            logger.experiment.add_figure(name, figure, close=False)
            logger.save()
    plt.close(figure)


def log_augmented(loggers: list, images: np.ndarray, titles: list[str]) -> None:
    """A sheet of augmented images, (n, S, S, 3) uint8: is what the network sees still a lesion?"""
    from dermasense.reporting.figures import contact_sheet

    log_images(loggers, "augmented training images", contact_sheet(images, titles))


def log_evaluation(loggers: list, metrics: dict, run: RunFolder) -> None:
    """What the report shows of validation and test: confusion, classes, reliability."""
    from dermasense.reporting.figures import class_figure, confusion_figure, reliability_figure

    for split in ("val", "test"):
        summary, table = metrics[split], read_predictions(run.predictions(split))
        probabilities = softmax(table.logits.astype(np.float64), axis=1)
        right = probabilities.argmax(axis=1) == table.labels
        title = f"{split}, n={summary['n']}, {summary['protocol']}"
        ece = f"{title}, ECE {number(summary['ece'])}"
        matrix, names = summary["confusion_matrix"], summary["class_names"]
        figures = {
            "confusion matrix": confusion_figure(matrix, names, title=title),
            "classes": class_figure(summary["per_class"], title=title),
            "reliability": reliability_figure(probabilities.max(axis=1), right, title=ece),
        }
        for name, figure in figures.items():
            log_images(loggers, f"{name}, {split}", figure)
