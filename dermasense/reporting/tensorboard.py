"""Loggers of a run and the figures it writes to them."""

from pathlib import Path

import lightning.pytorch.loggers as lightning_loggers
import numpy as np


def build_loggers(folder: Path, *, tensorboard: bool, csv: bool) -> list:
    """Lightning loggers that write into a run folder."""
    loggers = []
    if tensorboard:
        logger = lightning_loggers.TensorBoardLogger(str(folder), name="", version="tensorboard")
        loggers.append(logger)
    if csv:
        loggers.append(lightning_loggers.CSVLogger(str(folder), name="", version="csv"))
    return loggers


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


def log_confusion(loggers: list, metrics: dict) -> None:
    """Confusion matrices of validation and test."""
    from dermasense.reporting.figures import confusion_figure

    for split in ("val", "test"):
        summary = metrics[split]
        figure = confusion_figure(summary["confusion_matrix"], summary["class_names"])
        log_images(loggers, f"confusion matrix, {split}", figure)
