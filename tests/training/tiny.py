"""A tiny network and tiny data, so that a whole schedule of phases trains in seconds."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet
from torch import nn

from dermasense.data.augment import light
from dermasense.data.catalog import Catalog
from dermasense.data.datamodule import LesionData
from dermasense.data.prepared import Prepared
from dermasense.models.classifier import Classifier
from dermasense.models.heads import build_head
from dermasense.training.recipe import Recipe, parse_phases

CLASSES = ("a", "b", "c")


class TinyBackbone(nn.Module):
    """Two convolutions with BatchNorm, in the shape that Classifier expects of timm models."""

    num_features = 8

    def __init__(self):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 4, 3, stride=4, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv_head = nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)

    def forward_features(self, x):
        return self.bn2(self.conv_head(torch.relu(self.bn1(self.conv_stem(x)))))

    def forward_head(self, x, pre_logits=True):
        return torch.relu(x).mean((2, 3))


def tiny_classifier(seed: int = 0, dropout: float = 0.3) -> Classifier:
    torch.manual_seed(seed)
    head = build_head("linear", 8, len(CLASSES), dropout=dropout)
    return Classifier(TinyBackbone(), head, (0.5,) * 3, (0.5,) * 3)


def cuttable_classifier(seed: int = 0, dropout: float = 0.3, head: str = "linear") -> Classifier:
    """A small EfficientNet, which has boundaries between the pictures and the pooled vector."""
    torch.manual_seed(seed)
    blocks = decode_arch_def([["ds_r1_k3_s1_e1_c8"], ["ir_r2_k3_s2_e3_c12"]])
    backbone = EfficientNet(blocks, num_classes=0, num_features=16, stem_size=8)
    options = {"dropout": dropout} if head == "linear" else {}
    made = build_head(head, 16, len(CLASSES), **options)
    return Classifier(backbone, made, (0.5,) * 3, (0.5,) * 3)


def tiny_data(
    workers: int = 0,
    batch_size: int = 8,
    balance: str = "none",
    augmented: bool = True,
    **limits,
) -> LesionData:
    """66 images of 16 px: 42 for training, 12 for validation, 12 for test; colour is the class."""
    rng = np.random.default_rng(0)
    labels = np.resize([0, 0, 0, 1, 1, 2], 66)
    images = rng.integers(0, 200, (66, 16, 16, 3), dtype=np.uint8)
    images[np.arange(66), :, :, labels] += 40
    frame = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(66)],
            "label": [CLASSES[code] for code in labels],
            "group": [f"g{n}" for n in range(66)],
            "path": "",
            "origin": "",
        }
    )
    catalog = Catalog(
        name="tiny", frame=frame, class_names=CLASSES, attributes=(), licence="", citation=""
    )
    split = pd.Series(["train"] * 42 + ["val"] * 12 + ["test"] * 12)
    store = SimpleNamespace(images=images, path=Path("tiny.npy"))
    prepared = Prepared(catalog, store, split, np.arange(66))
    return LesionData(
        prepared,
        balance={"name": balance},
        augment=light(image_size=16) if augmented else None,
        batch_size=batch_size,
        num_workers=workers,
        seed=0,
        **limits,
    )


PHASES = parse_phases(
    {
        "frozen": {"epochs": 2, "unfreeze": 0, "lr": 1e-2},
        "last": {"epochs": 3, "unfreeze": "all", "lr": 1e-3, "patience": 2},
        "more": {"epochs": 2, "unfreeze": "all", "lr": 1e-3},
    }
)


def tiny_recipe(**changes) -> Recipe:
    values = {
        "optimizer": {"name": "adamw", "weight_decay": 0.01},
        "scheduler": {"name": "plateau", "patience": 1},
        "monitor": "nll",
        "seed": 3,
        "ema_decay": 0.9,
        "every_n_steps": 2,
        "trainer": {"accelerator": "cpu", "devices": 1},
    }
    return Recipe(**{**values, **changes})
