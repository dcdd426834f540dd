"""The monitor: which epoch is the best, when a phase ends early, when plateau cuts the rate."""

import itertools
import math

import numpy as np
import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.evaluation.own_metric import OwnMetric
from dermasense.training.checkpoint import Best
from dermasense.training.recipe import parse_phases
from tests.training.cuts import train
from tests.training.tiny import PHASES, tiny_data, tiny_recipe


def told(scores, better="max", **changes):
    """A recipe whose monitor takes these values, one an epoch."""
    given = iter(scores)
    metrics = {"told": OwnMetric(lambda logits, labels: next(given), better)}
    return tiny_recipe(monitor="told", metrics=metrics, **changes)


def test_patience_counts_epochs_in_a_row_of_one_phase_and_a_tie_is_no_better(tmp_path):
    phases = parse_phases(
        {
            "one": {"epochs": 6, "unfreeze": 0, "lr": 1e-2, "patience": 2},
            "two": {"epochs": 4, "unfreeze": 0, "lr": 1e-2, "patience": 2},
        }
    )
    recipe = told([0.5, 0.4, 0.6, 0.6, 0.5, 0.6, 0.3])
    _, progress, _ = train(tmp_path, phases=phases, recipe=recipe)
    assert [row["phase"] for row in progress.history] == ["one"] * 5 + ["two"] * 2
    assert progress.best == Best(0.6, "one.safetensors", "one", 3)


@pytest.mark.parametrize(
    ("better", "scores"), [("max", [0.1, 0.2, 0.2, 0.3]), ("min", [0.3, 0.2, 0.2, 0.1])]
)
def test_plateau_cuts_the_rate_when_the_monitor_no_longer_improves(tmp_path, better, scores):
    phases = parse_phases({"one": {"epochs": 4, "unfreeze": 0, "lr": 1e-2}})
    plateau = {"name": "plateau", "patience": 1, "factor": 0.5}
    _, progress, _ = train(tmp_path, phases=phases, recipe=told(scores, better, scheduler=plateau))
    assert [row["lr"] for row in progress.history] == pytest.approx([1e-2, 1e-2, 1e-2, 5e-3])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_validation_is_judged_in_float32_as_the_saved_weights_are(tmp_path, precision):
    seen = []

    def judged(logits, labels):
        seen.append(logits)
        return float(len(seen))  # the last epoch is the best

    trainer = {**tiny_recipe().trainer, "precision": precision}
    metrics = {"told": OwnMetric(judged, "max")}
    recipe = tiny_recipe(monitor="told", metrics=metrics, trainer=trainer)
    model, *_ = train(tmp_path, phases=PHASES[:2], recipe=recipe)
    data = tiny_data()
    data.start_at(0)
    with torch.no_grad():
        again = [model.eval()(batch["x"]) for batch in data.val_dataloader()]
    np.testing.assert_allclose(seen[-1], torch.cat(again).numpy(), rtol=1e-5, atol=1e-6)


def test_an_epoch_without_a_value_of_the_monitor_is_never_the_best(tmp_path):
    with pytest.raises(DermaSenseError, match="no epoch of phase frozen gave a finite told"):
        train(tmp_path / "none", phases=PHASES[:1], recipe=told(itertools.repeat(math.nan)))
    _, progress, _ = train(tmp_path / "one", phases=PHASES[:1], recipe=told([math.nan, 0.5]))
    assert progress.best == Best(0.5, "frozen.safetensors", "frozen", 2)


def test_a_step_that_ruins_validation_alone_ends_in_the_sentence_too(tmp_path):
    phases = parse_phases({"wild": {"epochs": 3, "unfreeze": "all", "lr": 1e30}})
    with pytest.raises(DermaSenseError, match="not a finite number in phase wild, epoch 1"):
        train(tmp_path, phases=phases, recipe=tiny_recipe(ema_decay=None), limit_batches=1)
