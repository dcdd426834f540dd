"""conf/model and conf/head: every file builds what its name says."""

import inspect
from pathlib import Path

import pytest
import timm
import yaml

from dermasense.models.classifier import build_classifier
from dermasense.models.heads import HEADS, head_options

CONF = Path(__file__).resolve().parents[2] / "conf"
MODELS = {p.stem: yaml.safe_load(p.read_text()) for p in (CONF / "model").glob("*.yaml")}
SIZES = {"b0": 224, "b1": 224, "b4": 380, "lite0": 224, "lite1": 240, "lite2": 260}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_model_is_a_backbone_with_weights_and_a_size(name):
    model = MODELS[name]
    parameters = set(inspect.signature(build_classifier).parameters)
    assert set(model) <= parameters - {"head", "num_classes", "class_names"}
    assert model["image_size"] == SIZES[name]
    assert model["weights"] == ("package" if name.startswith("lite") else "timm")
    assert model["backbone"].partition(".")[0] == f"tf_efficientnet_{name}"
    assert model["backbone"] in timm.list_pretrained() or name.startswith("lite")


def test_every_head_has_a_file_with_its_defaults():
    for name in HEADS:
        config = yaml.safe_load((CONF / "head" / f"{name}.yaml").read_text())
        defaults = {
            k: list(v) if isinstance(v, tuple) else v for k, v in head_options(name).items()
        }
        assert config == {"name": name, **defaults}


def test_every_file_opens_with_what_the_choice_is():
    for path in [*(CONF / "model").glob("*.yaml"), *(CONF / "head").glob("*.yaml")]:
        assert path.read_text().startswith("# "), path
