"""Phases: frozen means frozen, each starts from the best before it, and a cut changes nothing."""

import contextlib
import logging

import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.training.keeper import PhaseKeeper
from dermasense.training.recipe import parse_phases
from tests.training.cuts import Cut, assert_same_weights, train
from tests.training.tiny import PHASES, tiny_classifier, tiny_recipe


@pytest.mark.parametrize("scheduler", ["plateau", "cosine", "one_cycle"])
def test_a_run_cut_at_any_moment_ends_bit_equal(tmp_path, scheduler):
    recipe = tiny_recipe(scheduler={"name": scheduler})
    whole, progress, calls = train(tmp_path / "whole", recipe=recipe)
    # Different moments with each schedule: inside epochs, at their ends, between phases.
    first = 1 + ["plateau", "cosine", "one_cycle"].index(scheduler)
    for moment in range(first, calls + 1, 7):
        folder = tmp_path / str(moment)
        with pytest.raises(Cut):
            train(folder, cut_after=moment, recipe=recipe)
        resumed, progress_resumed, _ = train(folder, recipe=recipe)
        assert_same_weights(whole, resumed)
        assert progress_resumed.history == progress.history
        assert progress_resumed.best == progress.best


def observed(folder, monkeypatch, cut_after=None):
    """Per epoch: what trains, learning rates, BatchNorm modes, the patience counter."""
    seen = {}
    judge = PhaseKeeper.on_train_epoch_end

    def watching(self, trainer, module):
        judge(self, trainer, module)
        key = (self.phase, trainer.current_epoch)
        seen[key] = (
            [p.requires_grad for p in module.model.parameters()],
            [group["lr"] for group in trainer.optimizers[0].param_groups],
            [m.training for m in module.model.modules() if isinstance(m, torch.nn.BatchNorm2d)],
            self.progress.waited,
        )

    with monkeypatch.context() as patch:
        patch.setattr(PhaseKeeper, "on_train_epoch_end", watching)
        with contextlib.suppress(Cut):
            train(folder, cut_after=cut_after)
    return seen


@pytest.mark.parametrize("moment", [5, 20, 34])
def test_after_a_cut_each_epoch_trains_the_same_layers_at_the_same_rates(
    tmp_path, monkeypatch, moment
):
    whole = observed(tmp_path / "whole", monkeypatch)
    before = observed(tmp_path / "cut", monkeypatch, cut_after=moment)
    after = observed(tmp_path / "cut", monkeypatch)
    assert {**before, **after} == whole
    assert after, "the cut came too late to leave anything to resume"
    # The first phase is frozen and the second is not: the comparison has something to see.
    assert not any(whole[("frozen", 0)][2]) and all(whole[("last", 0)][2])


def test_gradient_accumulation_resumes_bit_equal(tmp_path):
    trainer = {"accelerator": "cpu", "devices": 1, "accumulate_grad_batches": 2}
    recipe = tiny_recipe(trainer=trainer)
    whole, _, calls = train(tmp_path / "whole", recipe=recipe, phases=PHASES[:2])
    with pytest.raises(Cut):
        train(tmp_path / "cut", recipe=recipe, phases=PHASES[:2], cut_after=calls // 2)
    resumed, *_ = train(tmp_path / "cut", recipe=recipe, phases=PHASES[:2])
    assert_same_weights(whole, resumed)


@pytest.mark.parametrize("limit", [4, 0.7])
def test_epochs_of_fewer_batches_resume_bit_equal(tmp_path, limit):
    options = {"phases": PHASES[1:2], "limit_batches": limit}
    whole, progress, calls = train(tmp_path / "whole", **options)
    assert calls == 1 + 3 * (4 + 1)  # of 6 batches, and the ends of three epochs
    for moment in (3, 5, 8):
        with pytest.raises(Cut):
            train(tmp_path / str(moment), cut_after=moment, **options)
        resumed, progress_resumed, again = train(tmp_path / str(moment), **options)
        assert_same_weights(whole, resumed)
        assert progress_resumed.history == progress.history
        assert again < calls


def trainer_with(**options):
    return tiny_recipe(trainer={"accelerator": "cpu", "devices": 1, **options})


def test_a_share_below_a_batch_validates_on_one(tmp_path):
    # The one batch of the validation split; a share of it is none.
    share = trainer_with(limit_val_batches=0.2)
    _, progress, _ = train(tmp_path / "share", recipe=share, phases=PHASES[:1])
    _, whole, _ = train(tmp_path / "whole", phases=PHASES[:1])
    assert [r["val_nll"] for r in progress.history] == [r["val_nll"] for r in whole.history]


def test_the_profiler_writes_its_report(tmp_path):
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    # Not of the root: Lightning keeps its words to itself where it was imported first.
    logger = logging.getLogger("lightning.pytorch")
    logger.addHandler(handler)
    try:
        train(tmp_path, recipe=trainer_with(profiler="simple"), phases=PHASES[:1])
    finally:
        logger.removeHandler(handler)
    assert any("Profiler Report" in text and "training_step" in text for text in seen)


def test_two_batches_are_learnt_by_heart(tmp_path):
    phases = parse_phases(
        {
            "frozen": {"epochs": 2, "unfreeze": 0, "lr": 1e-2},
            "learn": {"epochs": 60, "unfreeze": "all", "lr": 1e-2},
        }
    )
    recipe = tiny_recipe(ema_decay=None, scheduler={"name": "constant"})
    _, progress, _ = train(tmp_path, phases=phases, recipe=recipe, overfit_batches=2)
    assert progress.history[0]["val_top1"] < 0.8
    assert progress.history[-1]["val_top1"] == 1.0


def test_a_run_cut_three_times_ends_bit_equal(tmp_path):
    whole, progress, calls = train(tmp_path / "whole")
    for _ in range(3):
        with pytest.raises(Cut):
            train(tmp_path / "cut", cut_after=calls // 4)
    resumed, progress_resumed, _ = train(tmp_path / "cut")
    assert_same_weights(whole, resumed)
    assert progress_resumed.history == progress.history


def test_two_workers_train_the_same_weights_as_none(tmp_path):
    alone, *_ = train(tmp_path / "alone", phases=PHASES[:2])
    helped, *_ = train(tmp_path / "helped", phases=PHASES[:2], workers=2)
    assert_same_weights(alone, helped)


def test_a_frozen_phase_moves_no_weight_and_no_statistic_of_the_backbone(tmp_path):
    before = {k: v.clone() for k, v in tiny_classifier().backbone.state_dict().items()}
    after, *_ = train(tmp_path, phases=PHASES[:1])
    for name, value in after.backbone.state_dict().items():
        assert torch.equal(before[name], value), name
    assert not torch.equal(tiny_classifier().head.state_dict()[_weight(after)], _head(after))


def _weight(model):
    return next(name for name in model.head.state_dict() if name.endswith("weight"))


def _head(model):
    return model.head.state_dict()[_weight(model)]


def test_a_phase_that_never_improves_hands_on_what_it_started_from(tmp_path):
    phases = parse_phases(
        {
            "good": {"epochs": 2, "unfreeze": 0, "lr": 1e-2},
            "ruin": {"epochs": 4, "unfreeze": "all", "lr": 30.0, "patience": 2},
        }
    )
    _, progress, _ = train(tmp_path, phases=phases, recipe=tiny_recipe(ema_decay=None))
    assert progress.best.phase == "good"
    assert [row["phase"] for row in progress.history].count("ruin") == 2
    assert progress.stopped


def test_a_finished_schedule_trains_nothing_more(tmp_path):
    first, *_ = train(tmp_path)
    again, _, calls = train(tmp_path)
    assert calls == 0
    assert_same_weights(first, again)


def test_training_that_diverges_ends_in_a_sentence(tmp_path):
    phases = parse_phases({"wild": {"epochs": 3, "unfreeze": "all", "lr": 1e30}})
    with pytest.raises(DermaSenseError, match="not a finite number in phase wild, epoch 1"):
        train(tmp_path, phases=phases, recipe=tiny_recipe(ema_decay=None))
