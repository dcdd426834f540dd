"""Every experiment and every option of every group composes and runs a batch of everything."""

import json
from pathlib import Path

import pytest
import timm
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dermasense import assembly
from dermasense.data.sources import fitzpatrick21
from dermasense.errors import DermaSenseError
from dermasense.experiment import run_experiment
from dermasense.hydra_words import conf_folder
from dermasense.run_folder import RunFolder
from tests import fakes

TINY = [
    "model.image_size=32",
    "weights=none",
    "batch_size=8",
    "num_workers=0",
    "limit_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "trainer.accelerator=cpu",
]
# Options that need another option beside them.
BESIDE = {
    "balance=class_weights": ["loss=ce"],
    "balance=focal_alpha": ["loss=focal"],
    "balance=smote_features": ["cache=boundary", "phases=frozen"],
    "loss=weighted_ce": ["balance=none"],
    "trainer=gpu": None,  # needs a GPU
    # Start processes of their own: tests/test_many_devices_command.py.
    **dict.fromkeys(("trainer=ddp", "trainer=ddp_cpu")),
    # Need a teacher: tests/training/test_distill.py.
    **dict.fromkeys(("loss=distill", "experiment=distill")),
    "data=isic2018": None,  # evaluation only: has a test of its own
    # Of the decide command, tests/test_calibrate_command.py, tests/evaluation/decisions.
    **dict.fromkeys(f"decision={path.stem}" for path in (conf_folder() / "decision").iterdir()),
    # Need folders of several kinds: tests/data/test_bring_your_own.py.
    **dict.fromkeys(("data=concat", "data=onehot", "split=own", "split=column")),
}


def options() -> list[str]:
    found = []
    for group in sorted(path for path in conf_folder().iterdir() if path.is_dir()):
        found += [f"{group.name}={choice.stem}" for choice in sorted(group.glob("*.yaml"))]
    return [option for option in found if BESIDE.get(option, []) is not None]


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> dict[str, Path]:
    """A folder of noise for each data source."""
    base = tmp_path_factory.mktemp("data")
    classes = [f"condition-{code:02d}" for code in range(21)]
    classes = list(getattr(fitzpatrick21, "CLASS_NAMES", classes))
    folder = fakes.fake_folder(base / "folder")
    return {
        "ham10000": fakes.fake_ham(base / "ham10000"),
        "fitzpatrick21": fakes.fake_fitzpatrick(base / "fitzpatrick21", classes),
        "isic2018": fakes.fake_isic2018(base / "isic2018"),
        "folder": folder,
        "csv": folder,
        "cache": base / "cache",
    }


def settings_of(overrides: list[str], roots: dict[str, Path]) -> dict:
    """Resolved settings, with the data's root where the noise lies."""
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        name = compose("train", overrides=overrides).data.name
        place = [f"cache_dir={roots['cache']}"]
        if name in roots:
            place.append(f"data.root={roots[name]}")
        else:
            place += ["data.n_lesions=100", "data.image_px=48"]
        config = compose("train", overrides=[*overrides, *TINY, *place])
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("option", options())
def test_every_option_runs_a_batch(option, roots, tmp_path, monkeypatch):
    monkeypatch.setattr(timm, "create_model", fakes.stub_backbone)
    beside = BESIDE.get(option, [])
    if option.partition("=")[0] != "logger":
        beside = [*beside, "logger=none"]
    run = RunFolder(tmp_path)
    settings = settings_of([option, *beside], roots)
    run.begin(settings, [])
    run_experiment(settings, run)
    metrics = json.loads(run.metrics.read_text())
    assert metrics["test"]["n"] > 0
    assert run.finished.exists()
    assert (run.path / "report.html").is_file() and (run.bundle / "MODEL_CARD.md").is_file()


def test_an_evaluation_only_set_is_refused_for_training(roots, tmp_path, monkeypatch):
    monkeypatch.setattr(timm, "create_model", fakes.stub_backbone)
    settings = settings_of(["data=isic2018", "logger=none"], roots)
    with pytest.raises(DermaSenseError, match="isic2018 is for evaluation only"):
        run_experiment(settings, RunFolder(tmp_path))


def test_the_originals_are_what_the_design_says(roots):
    b1 = settings_of(["experiment=b1_se"], roots)
    assert (b1["model"]["backbone"], b1["head"]["name"]) == ("tf_efficientnet_b1.aa_in1k", "se_mlp")
    assert (b1["loss"]["name"], b1["loss"]["alpha"], b1["loss"]["gamma"]) == ("focal", 0.25, 2.0)
    assert b1["balance"]["name"] == "smote"
    assert [phase["unfreeze"] for phase in b1["phases"].values()] == [0, 15, 25, 35]
    b4 = settings_of(["experiment=b4_weighted"], roots)
    assert (b4["head"]["name"], b4["loss"]["name"]) == ("linear", "weighted_ce")
    assert b4["optimizer"]["name"] == "adam"
    assert b4["phases"]["full"]["unfreeze"] == "all"


@pytest.mark.parametrize(
    ("experiment", "size"),
    [("b1_se", 224), ("b4_weighted", 380), ("b1_se_lite", 96), ("ham_finetune", 144)],
)
def test_input_sizes(experiment, size):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        assert compose("train", overrides=[f"experiment={experiment}"]).model.image_size == size


def test_every_yaml_says_what_it_is():
    for path in conf_folder().rglob("*.yaml"):
        first = next(line for line in path.read_text().splitlines() if "@package" not in line)
        assert first.startswith("# "), f"{path} opens without a line on what the choice is"


def test_mixing_averaging_and_the_cache_are_what_the_settings_say(roots):
    words = ["balance=mixup", "balance.alpha=0.7", "ema_decay=0.95", "cache=boundary"]
    words += ["cache.views=3", "cache.dtype=fp32", "cache.engine=torch"]
    settings = settings_of(words, roots)
    recipe, cache = assembly.make_recipe(settings), assembly.make_cache(settings, "cpu")
    assert recipe.mix == {"name": "mixup", "alpha": 0.7, "prob": 1.0}
    assert recipe.ema_decay == 0.95
    assert (cache.views, cache.dtype, cache.engine) == (3, "float32", "torch")
    assert assembly.make_recipe(settings_of([], roots)).mix is None
