"""Gradients of several batches in one step: their mean, also where an epoch ends before."""

import pytest
import torch

from dermasense.training.checkpoint import CheckpointFolder
from tests.training.cuts import Cut, assert_same_weights, train
from tests.training.tiny import PHASES, tiny_recipe


def accumulating(batches, **changes):
    trainer = {"accelerator": "cpu", "devices": 1, "accumulate_grad_batches": batches}
    # Steps of Adam would be nearly the same ones whatever the size of its gradients.
    return tiny_recipe(trainer=trainer, optimizer={"name": "sgd"}, **changes)


@pytest.mark.parametrize("left", [1, 2])
def test_an_epoch_that_ends_early_takes_the_mean_of_the_batches_it_has(tmp_path, left):
    options = {"phases": PHASES[1:2], "limit_batches": left}
    fitting, known, _ = train(tmp_path / "a", recipe=accumulating(left), **options)
    cut, found, _ = train(tmp_path / "b", recipe=accumulating(4), **options)
    for (name, a), b in zip(fitting.state_dict().items(), cut.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)
    losses = [[row["train_loss"] for row in each.history] for each in (known, found)]
    assert losses[1] == pytest.approx(losses[0])


def test_the_last_batches_of_a_cut_epoch_weigh_as_they_would_have(tmp_path):
    options = {"recipe": accumulating(4), "phases": PHASES[1:2]}
    whole, progress, _ = train(tmp_path / "whole", **options)
    with pytest.raises(Cut):
        train(tmp_path / "cut", cut_after=6, **options)  # begun, and five of six batches
    assert CheckpointFolder(tmp_path / "cut").load()[0].batch == 4
    resumed, again, _ = train(tmp_path / "cut", **options)
    assert_same_weights(whole, resumed)
    assert again.history == progress.history


@pytest.mark.parametrize(
    ("asked", "batches", "saved"), [(4, 3, [6]), (2, 3, [3, 6]), (2, 1, [2, 4, 6, 8])]
)
def test_checkpoints_fall_on_the_first_step_that_is_due(
    tmp_path, monkeypatch, asked, batches, saved
):
    seen = []
    monkeypatch.setattr(
        CheckpointFolder, "save", lambda self, progress, states: seen.append(progress.batch)
    )
    recipe = accumulating(batches, every_n_steps=asked)
    train(tmp_path, recipe=recipe, phases=PHASES[:1], batch_size=5)  # nine batches
    assert seen == [*saved, 0] * 2
