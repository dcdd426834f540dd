"""Mistakes on the command line, one sentence each; no data or network is touched."""

from dataclasses import fields

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dermasense.errors import DermaSenseError
from dermasense.hydra_errors import PHASE_OPTIONS, compose_or_explain
from dermasense.hydra_words import conf_folder
from dermasense.overrides import check_types
from dermasense.replaced_choices import default_taken, leave_out
from dermasense.training.recipe import Phase


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("los=focal", "los is no option; did you mean 'loss'"),
        ("loss=null", "loss=null is no choice; valid: ce, distill, focal, group_dro, weighted_ce"),
        ("balance=-1", "balance=-1 is no choice; valid: class_weights"),
        ("augment=true", "augment=true is no choice; "),
        ("+model=[1,2]", "model=[1,2] is no choice; valid: b0"),
        ("optimizer.layer_decay={a: 1}", "expected a number above 0 and at most 1, or null."),
        ("experiment=null", "experiment=null is no choice; type ~experiment to take none."),
        ("~model", "~model: every run needs model; choose another one instead."),
        ("~optimizer.name", "~optimizer.name: every run needs optimizer.name; give it a value"),
        ("+seed=1", "seed is an option already: leave out the + and type seed=..."),
        ("++foo=1", "+foo: nothing reads this option"),
        ("seed=-1", "seed=-1: expected an integer from 0 to 4294967295."),
        ("seed=null", "seed=null: expected an integer from 0 to 4294967295."),
        ("seed=20261128123456", "seed=20261128123456: expected an integer from 0 to 4294967295."),
        ("split.seed=4294967296", "split.seed=4294967296: expected an integer from 0 to"),
        ("split.seed=null", "split.seed=null: expected an integer from 0 to"),
        ("batch_size=null", "batch_size=null: expected an integer >= 1."),
        ("batch_size=1.5", "batch_size=1.5: expected an integer >= 1."),
        ("num_workers=null", "num_workers=null: this option needs a value, such as auto."),
        ("phases.frozen=3", "phases.frozen=3: expected options, such as phases.frozen.epochs=..."),
        ("monitor=[nll]", "monitor=['nll']: expected one value."),
        ("ema_decay=abc", "ema_decay=abc: expected a number above 0 and below 1, or null."),
        ("ema_decay=1.5", "ema_decay=1.5: expected a number above 0 and below 1, or null."),
        ("overfit_batches=abc", "overfit_batches=abc: expected an integer >= 1, or null."),
        ("limit_epochs=-1", "limit_epochs=-1: expected an integer >= 1, or null."),
        ("checkpoint.every_n_steps=-1", "checkpoint.every_n_steps=-1: expected an integer >= 0."),
        ("trainer.accumulate_grad_batches=0", "expected an integer >= 1."),
        ("trainer.gradient_clip_val=-1", "val=-1: expected a number above 0, or null."),
        ("trainer.gradient_clip_val=0", "val=0: expected a number above 0, or null."),
        ("trainer.gradient_clip_val=inf", "val=inf: expected a number above 0, or null."),
        ("trainer.compile=2", "trainer.compile=2: expected true or false."),
        (
            "trainer.profiler=true",
            "trainer.profiler=True: expected simple, advanced, pytorch or null.",
        ),
        ("trainer.limit_val_batches=0", "(every epoch is validated)"),
        ("trainer.limit_val_batches=0.0", "(every epoch is validated)"),
        ("+trainer.check_val_every_n_epoch=2", "every epoch is validated, at its end."),
        ("+trainer.log_every_n_steps=9", "log_every_n_steps cannot be set: the loss is logged"),
        ("+trainer.limit_test_batches=9", "the test split is predicted whole"),
        ("+trainer.limit_predict_batches=9", "the test split is predicted whole"),
        ("+trainer.num_nodes=2", "trainer.num_nodes cannot be set: the devices of one machine"),
        ("+trainer.max_steps=9", "trainer.max_steps cannot be set: set phases.<name>.epochs"),
        (
            "phases.frozen.patience=3",
            "phases.frozen.patience is not set in this schedule; to add it type "
            "+phases.frozen.patience=3",
        ),
        (
            "phases.frozen.scheduler=cosine",
            "to add it type +phases.frozen.scheduler='{name: cosine}'",
        ),
        ("phases.frozen.patiense=3", "phases.frozen.patiense is no option"),
        ("phases.frosen.patience=3", "phases.frosen.patience is no option"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence):
    with pytest.raises(DermaSenseError) as caught:
        compose_or_explain("train", [words])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


LEAST = {
    "resamples": 100, "folds": 2, "repeats": 1, "calibrate_on": 1, "compare_on": 1, "part_size": 1,
    "show": 0, "sheet": 0, "replicas": 1, "batch_size": 1,
}  # fmt: skip
COUNTS = [
    (file.stem, key)
    for file in sorted(conf_folder().glob("*.yaml"))
    for key in OmegaConf.load(file)
    if key in LEAST
]


@pytest.mark.parametrize(("command", "key"), COUNTS, ids="-".join)
def test_every_command_refuses_a_number_that_is_too_small(command, key):
    with pytest.raises(DermaSenseError, match=f"^{key}=.*: expected an integer >= {LEAST[key]}"):
        compose_or_explain(command, [f"{key}={LEAST[key] - 1}"])


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=ham_finetune", "ema_decay=null"],
        ["~experiment", "phases.frozen.patience=null"],
        ["+phases.frozen.patience=3", "~phases.finetune"],
        ["debug=overfit", "overfit_batches=null"],
        ["debug=profiler", "trainer.profiler=null", "trainer.limit_val_batches=0.5"],
        ["loss=focal", "loss.alpha=[1,2,3]", "phases.finetune.unfreeze=3"],
        ["model.interpolation=null", "checkpoint.every_n_steps=0", "++seed=3", "data.root=7"],
        ["+trainer.gradient_clip_algorithm=norm", "model.weights=none"],
    ],
    ids=" ".join,
)
def test_what_is_meant_passes(words):
    assert compose_or_explain("train", words).phases


def test_a_value_from_a_yaml_is_checked_too():
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train")
        OmegaConf.update(config, "ema_decay", 2)
        with pytest.raises(DermaSenseError, match="ema_decay=2: expected a number above 0"):
            check_types(config, [], "train")


def test_the_options_of_a_phase_are_those_that_it_has():
    assert set(PHASE_OPTIONS) == {field.name for field in fields(Phase)} - {"name"}


def test_a_choice_from_outside_is_not_blamed_for_another_word():
    with pytest.raises(DermaSenseError, match=r"^balance=-1 is no choice"):
        compose_or_explain("train", ["head=wide", "balance=-1"])


def composed(words: list[str]) -> tuple[dict, list[str]]:
    """The configuration of these words, and what is told of the experiment's options in it."""
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", words)
        told = leave_out(config, words, "train")
    return OmegaConf.to_container(config), told


@pytest.mark.parametrize(
    ("words", "group", "told"),
    [
        (
            ["experiment=ham_finetune", "loss=ce", "loss.label_smoothing=0.0"],
            {"name": "ce", "label_smoothing": 0.0},
            ["loss.weighting of experiment=ham_finetune is left out: loss=ce has none"],
        ),
        (
            ["experiment=ham_short", "phases=full"],
            None,
            ["phases.finetune of experiment=ham_short is left out: phases=full has none"],
        ),
        (
            ["experiment=ham_short", "augment=none"],
            {"_target_": "dermasense.data.augment.none", "_partial_": True},
            ["augment.crop of experiment=ham_short is left out: augment=none has none"],
        ),
        (["experiment=ham_short", "loss=weighted_ce"], None, []),
        (["experiment=ham_short", "debug=limit"], None, []),
        (["~experiment", "model=b1"], None, []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_of_a_replaced_choice_is_left_out(words, group, told):
    config, said = composed(words)
    assert said == told
    of = words[1].partition("=")[0]
    if group is not None:
        assert config[of] == group
    elif of != "debug":
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            alone = compose("train", ["~experiment", words[1]])
        assert config[of].keys() == OmegaConf.to_container(alone)[of].keys()


def test_an_option_that_both_choices_have_stays_and_is_told():
    config, told = composed(["model=b1"])
    assert config["model"]["image_size"] == 96
    assert told == ["model.image_size=96 is of experiment=quickstart; model=b1 alone has 224"]
    config, told = composed(["model=b1", "model.image_size=64"])
    assert config["model"]["image_size"] == 64
    assert told == []


def test_an_option_that_the_command_line_sets_is_no_experiments():
    config, told = composed(["experiment=ham_finetune", "loss=ce", "loss.weighting=sqrt"])
    assert config["loss"]["weighting"] == "sqrt"  # which loss=ce refuses, by its name
    assert not any("weighting" in sentence for sentence in told)


def test_a_search_may_take_other_choices_than_the_experiment():
    config = compose_or_explain("train", ["experiment=ham_finetune", "hparams_search=head"])
    assert "weighting" not in config.loss
    assert list(config.phases) == ["frozen"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=csv"], 1),
        (["data=synthetic"], 0),
        (["data=csv", "experiment=quickstart"], 0),
        (["data=csv", "~experiment"], 0),
    ],
    ids=str,
)
def test_ones_own_images_by_the_quickstart_are_told(words, said):
    assert len(default_taken(compose_or_explain("train", words), words)) == said
