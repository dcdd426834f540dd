"""The part on folds and repeats, and what a report of them says its blind answers stand on."""

import numpy as np

from dermasense.evaluation.predictions import Predictions, write_predictions
from dermasense.files import write_json
from dermasense.reporting.cross_validated import gather
from tests.reporting.run_on_disk import run_folder, table


def two_classes(seed: int) -> Predictions:
    """Two images a lesion, "a" or "b"."""
    whole = table(seed=seed)
    right = whole.labels % 2
    logits = np.random.default_rng(seed).normal(size=(len(whole), 2))
    logits[np.arange(len(whole)), right] += 1.5
    return Predictions(whole.frame.assign(label=[("a", "b")[c] for c in right]), logits, ("a", "b"))


def fold(path, test: Predictions):
    run = run_folder(path, predictions=test)
    val = two_classes(9)
    write_predictions(run.predictions("val"), val.frame, val.logits, val.class_names)
    run.config.write_text(run.config.read_text() + "seed: 0\n")
    write_json(run.finished, {"best_epoch": 1, "epoch": 1, "seconds": 1.0})
    return run


def test_repeats_of_two_classes_leave_top_2_blank(tmp_path):
    repeats = []
    for repeat in range(2):
        whole = two_classes(0).with_logits(two_classes(0).logits + repeat * 0.1)
        parts = [whole.rows(whole.groups % 2 == part) for part in range(2)]
        repeats.append([fold(tmp_path / f"r{repeat}_{n}", each) for n, each in enumerate(parts)])
    gather(tmp_path, repeats, resamples=100)
    page = (tmp_path / "report.html").read_text()
    assert "all repeats" in page and "sd over repeats" in page
    assert "Their shares of classes are those of the judged images" in page
