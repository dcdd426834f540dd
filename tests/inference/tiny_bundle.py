"""A bundle that takes milliseconds: one convolution, three classes, 32 pixels."""

from pathlib import Path

import numpy as np
import torch

from dermasense.files import read_json, write_json
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import build_classifier

NAMES = ("mel", "nv", "bcc")
SIDE = 32


def tiny_bundle(folder: Path, names=NAMES, **info) -> Path:
    """Saves one; `timm.create_model` must be `tests.fakes.stub_backbone` (see `stubbed`)."""
    torch.manual_seed(0)
    classifier, spec, _ = build_classifier(
        backbone="tf_efficientnet_lite0",
        num_classes=len(names),
        head={"name": "linear"},
        image_size=SIDE,
        interpolation="lanczos",
    )
    with torch.no_grad():  # answers that differ between pictures
        classifier.head.get_parameter("classifier.weight").mul_(40)
    return save_bundle(folder, classifier.eval(), spec, names, info)


def edit(folder: Path, **changes) -> None:
    """Changes keys of model.json."""
    path = folder / "model.json"
    write_json(path, read_json(path) | changes)


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """Pixels (n, S, S, 3) of soft colours that differ."""
    rng = np.random.default_rng(seed)
    base = rng.integers(30, 226, (n, 1, 1, 3))
    return (base + rng.integers(-20, 21, (n, SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
