"""A bundle that takes milliseconds: one convolution, three classes, 32 pixels."""

from pathlib import Path

import numpy as np
import torch

from dermasense.data.preprocess import InputSpec
from dermasense.files import read_json, write_json
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import assemble
from tests.fakes import stub_backbone

NAMES = ("mel", "nv", "bcc")
SIDE = 32


def tiny_bundle(folder: Path, names=NAMES, clean=(), **info) -> Path:
    """Saves one; to load it `timm.create_model` must be `tests.fakes.stub_backbone`."""
    torch.manual_seed(0)
    half = (0.5, 0.5, 0.5)
    spec = InputSpec(SIDE, "squash", half, half, interpolation="lanczos", clean=clean)
    head = {"name": "linear", "dropout": 0.2}
    recipe = {"backbone": "tf_efficientnet_lite0", "head": head, "num_classes": len(names)}
    classifier = assemble(stub_backbone(recipe["backbone"]), recipe, spec)
    with torch.no_grad():  # answers that differ between pictures
        classifier.head.get_parameter("classifier.weight").mul_(40)
    return save_bundle(folder, classifier.eval(), spec, names, info)


def edit(folder: Path, **changes) -> None:
    """Changes keys of model.json."""
    path = folder / "model.json"
    write_json(path, read_json(path) | changes)


def decided(**thresholds: float) -> dict:
    """The key `decision`: `lac` makes a set, `referral` a rule, as `as_dict` of either writes."""
    kinds = {"lac": "set", "referral": "refer"}
    return {
        kinds[name]: {"name": name, "class_names": list(NAMES), "threshold": threshold}
        for name, threshold in thresholds.items()
    }


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """Pixels (n, S, S, 3) of soft colours that differ."""
    rng = np.random.default_rng(seed)
    base = rng.integers(30, 226, (n, 1, 1, 3))
    return (base + rng.integers(-20, 21, (n, SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
