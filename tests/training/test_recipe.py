"""What training is told, and the mistakes in it that are known before it begins."""

import pytest

from dermasense.errors import DermaSenseError
from dermasense.training.recipe import parse_phases
from tests.training.tiny import tiny_recipe

PHASE = {"epochs": 1, "unfreeze": 0, "lr": 1}


@pytest.mark.parametrize(
    ("phases", "sentence"),
    [
        ({}, "phases is empty"),
        ({"more": 3}, "phases.more=3: expected the options of a phase"),
        ({"a": PHASE | {"scheduler": {"name": "plateau", 3: 1}}}, "phases.a.scheduler.3 is no opt"),
        ({"a": PHASE | {"scheduler": {"name": "cosin"}}}, "phases.a.scheduler.name=cosin is unkn"),
        ({"a": {"epochs": 1, "unfreeze": 0}}, "phases.a.lr is missing"),
        ({"a": {"epochs": 0, "unfreeze": 0, "lr": 1}}, "phases.a.epochs=0: expected an integer"),
        ({"a": {"epoch": 1, "unfreeze": 0, "lr": 1}}, "phases.a.epoch is no option.*'epochs'"),
        ({"a": {"epochs": 1, "unfreeze": 0, "lr": -1}}, "phases.a.lr=-1: expected a number > 0"),
        ({"a": PHASE | {"lr": 0}}, "phases.a.lr=0: expected a number > 0"),
        ({"a": PHASE | {"patience": 0}}, "phases.a.patience=0: expected an integer >= 1, or null"),
        ({"a": PHASE | {"patience": 1.5}}, "phases.a.patience=1.5: expected an integer"),
        ({"a": {"epochs": 1, "lr": 1}}, "phases.a.unfreeze is missing"),
        ({"a": {"unfreeze": 0, "lr": 1}}, "phases.a.epochs is missing"),
        ({"a": PHASE | {"scheduler": "cosine"}}, r"type \+phases.a.scheduler='{name: cosine}'"),
        ({"a": PHASE | {"scheduler": {"warmup": 0.1}}}, "phases.a.scheduler.name is missing"),
        (
            {"a": PHASE | {"scheduler": {"name": "cosine", "warmup": 500}}},
            "phases.a.scheduler.warmup=500: expected a share of the steps",
        ),
    ],
)
def test_a_wrong_phase_is_named(phases, sentence):
    with pytest.raises(DermaSenseError, match=sentence):
        parse_phases(phases)


def test_the_least_patience_is_one_epoch():
    assert parse_phases({"a": PHASE | {"patience": 1}})[0].patience == 1


def test_a_misspelt_monitor_is_known_before_training():
    with pytest.raises(DermaSenseError, match="did you mean 'balanced_accuracy'"):
        tiny_recipe(monitor="balanced_acuracy").check()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scheduler": {"name": "cosin"}}, "scheduler.name=cosin is unknown"),
        ({"scheduler": {"optimizer": 3}}, "scheduler.name is missing: set it"),
        ({"scheduler": {"name": "cosine", "mode": "max"}}, "scheduler.mode is no option"),
        ({"optimizer": {"name": "adamm"}}, "optimizer.name=adamm is unknown"),
        ({"optimizer": {"name": "adam", "betas": [0.9]}}, "optimizer.betas is no option; valid"),
        ({"optimizer": {"name": "adam", "lr": 0.1}}, "optimizer.lr is no option; "),
        ({"optimizer": {"weight_decay": 0.1}}, "optimizer.name is missing: set it"),
        ({"mix": {"name": "mixup", "alpha": 0}}, "balance.alpha=0"),
        ({"mix": {"name": "mixup", "num_classes": 2}}, "mixup has no option 'num_classes'"),
        ({"trainer": {"accelerator": "cpu", "max_tme": 1}}, "trainer: "),
    ],
)
def test_a_mistake_is_known_before_training(changes, sentence):
    with pytest.raises(DermaSenseError, match=sentence):
        tiny_recipe(**changes).check()


def test_a_good_recipe_is_tried_without_a_word(caplog):
    tiny_recipe(optimizer={"name": "adamw", "weight_decay": 0.01, "layer_decay": 0.8}).check()
    assert "layer" not in caplog.text
