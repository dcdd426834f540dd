"""Phases: frozen means frozen, each starts from the best before it, by its own rates."""

import logging
import math
from types import SimpleNamespace

import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.training.checkpoint import CheckpointFolder
from dermasense.training.losses import build_loss
from dermasense.training.phases import fit_phases
from dermasense.training.progress import TrainingLog
from dermasense.training.recipe import parse_phases
from tests.training.cuts import assert_same_weights, train
from tests.training.tiny import PHASES, tiny_classifier, tiny_data, tiny_recipe


@pytest.mark.parametrize("accumulated", [1, 4])
def test_cosine_takes_the_whole_phase_and_a_phase_may_have_its_own_schedule(tmp_path, accumulated):
    own = {"epochs": 2, "unfreeze": 0, "lr": 1e-2, "scheduler": {"name": "constant"}}
    phases = parse_phases({"own": own, "cosine": {"epochs": 4, "unfreeze": 0, "lr": 1e-3}})
    trainer = {"accelerator": "cpu", "devices": 1, "accumulate_grad_batches": accumulated}
    recipe = tiny_recipe(scheduler={"name": "cosine"}, trainer=trainer)
    _, progress, _ = train(tmp_path, phases=phases, recipe=recipe)
    steps = math.ceil(6 / accumulated)  # of an epoch; its row tells the rate of the last of them
    last = [(epoch * steps - 1) / (4 * steps) for epoch in (1, 2, 3, 4)]
    falling = [1e-3 * (1 + math.cos(math.pi * part)) / 2 for part in last]
    rates = [row["lr"] for row in progress.history]
    assert rates == pytest.approx([1e-2, 1e-2, *falling], abs=1e-8)


def test_those_who_watch_see_each_saved_epoch_on_one_axis(tmp_path):
    steps, seen = [], []
    logger = SimpleNamespace(log_metrics=lambda values, step: steps.append(step), save=lambda: None)

    def watch(history):
        saved, _ = CheckpointFolder(tmp_path).load()
        seen.append((history[-1]["phase"], saved.epoch))

    fit_phases(
        tiny_classifier(), build_loss("ce", class_counts=[21, 14, 7]), tiny_data(),
        [PHASES[0], PHASES[2]], tiny_recipe(),
        folder=tmp_path, loggers=[logger], after_epoch=watch,
    )  # fmt: skip
    assert seen == [("frozen", 1), ("frozen", 2), ("more", 1), ("more", 2)]
    assert steps == [5, 11, 17, 23]


def test_the_curves_tell_the_rate_of_the_step_that_was_made(tmp_path, monkeypatch):
    monkeypatch.setitem(TrainingLog.__init__.__kwdefaults__, "every", 6)
    told = {}
    logger = SimpleNamespace(log_metrics=lambda values, step: told.update(values), save=int)
    fit_phases(
        tiny_classifier(), build_loss("ce", class_counts=[21, 14, 7]), tiny_data(),
        parse_phases({"one": {"epochs": 2, "unfreeze": 0, "lr": 1e-3}}),
        tiny_recipe(scheduler={"name": "cosine"}),
        folder=tmp_path, loggers=[logger],
    )  # fmt: skip
    last = 1e-3 * (1 + math.cos(math.pi * 11 / 12)) / 2
    assert [told["lr/max"], told["lr/group_0"]] == pytest.approx([last, last])


def test_the_model_is_left_frozen_as_in_the_last_phase(tmp_path):
    for _ in range(2):  # trained, then loaded from what has ended
        model, *_ = train(tmp_path, phases=[PHASES[1], PHASES[0]])
        assert not any(p.requires_grad for p in model.backbone.parameters())
        assert model.constant_boundary == "pooled"


def test_a_network_in_eval_mode_with_a_frozen_head_trains_like_any(tmp_path):
    def handed_over():
        return tiny_classifier().eval().requires_grad_(False)

    expected, *_ = train(tmp_path / "a")
    found, *_ = train(tmp_path / "b", make_model=handed_over)
    assert_same_weights(found, expected)


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


def test_training_that_diverges_ends_in_a_sentence(tmp_path):
    phases = parse_phases({"wild": {"epochs": 3, "unfreeze": "all", "lr": 1e30}})
    with pytest.raises(DermaSenseError, match="not a finite number in phase wild, epoch 1"):
        train(tmp_path, phases=phases, recipe=tiny_recipe(ema_decay=None))
