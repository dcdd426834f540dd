"""Data sets of noise in the layouts of the real ones, and a backbone of one convolution."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

# Words that make a run of the train command take seconds.
TINY = [
    "data.n_lesions=100",
    "data.image_px=48",
    "model.image_size=32",
    "weights=none",
    "batch_size=16",
    "num_workers=0",
    "trainer.accelerator=cpu",
]

HAM_CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


class OneConvolution(nn.Module):
    """What `timm.create_model` gives in tests: the least that a Classifier asks of a backbone."""

    num_features = 4

    def __init__(self):
        super().__init__()
        self.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic"}
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.bn = nn.BatchNorm2d(4)

    def forward_features(self, x):
        return self.bn(self.conv(x))

    def forward_head(self, x):
        return x.mean((2, 3))


def stub_backbone(name: str, **options) -> OneConvolution:
    """In the place of `timm.create_model`."""
    return OneConvolution()


def untrained_run(folder: Path, root: Path, n_lesions: int, image_size: int):
    """A run folder with an untrained bundle of the synthetic classes; returns their catalog.

    Put `stub_backbone` in the place of `timm.create_model` before.
    """
    from dermasense.data.sources.synthetic import catalog
    from dermasense.models.bundle import save_bundle
    from dermasense.models.classifier import build_classifier

    found = catalog(root=str(root), n_lesions=n_lesions, image_px=48)
    model, spec, _ = build_classifier(
        num_classes=len(found.class_names),
        backbone="tf_efficientnet_lite0",
        weights="none",
        head={"name": "linear"},
        image_size=image_size,
    )
    save_bundle(folder / "bundle", model, spec, found.class_names, {"training_data": "synthetic"})
    return found


def noise(path: Path, seed: int, side: int = 32) -> None:
    """A PNG of noise under any name: readers go by content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")


def fake_ham(root: Path, per_class: int = 10) -> Path:
    """HAM10000's layout: `per_class` lesions of one image in each class."""
    rows = []
    for code, label in enumerate(HAM_CLASSES):
        for number in range(per_class):
            name = f"{label}_{number}"
            noise(root / "images" / f"{name}.jpg", seed=1000 * code + number)
            rows.append([f"L_{name}", name, label, "histo", 50.0, "male", "back"])
    header = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    _write(root / "HAM10000_metadata.csv", header, rows)
    return root


def fake_isic2018(root: Path) -> Path:
    """The layout of the external ISIC 2018 set."""
    rows = []
    for code, label in enumerate(HAM_CLASSES):
        noise(root / "images" / f"x_{label}.jpg", seed=9000 + code)
        rows.append([f"x_{label}", label])
    _write(root / "labels.csv", ["image_id", "dx"], rows)
    return root


def fake_fitzpatrick(root: Path, labels: list[str], per_class: int = 4) -> Path:
    """fitzpatrick21's layout with its class names."""
    rows = []
    for code, label in enumerate(labels):
        for number in range(per_class):
            name = f"{code:02d}{number:02d}".ljust(32, "a")
            noise(root / "images" / label / f"{name}.jpg", seed=5000 + 100 * code + number, side=48)
            rows.append([name, 1 + number, 1 + number, label, "x", "x", "", 12])
    header = ["md5hash", "fitzpatrick_scale", "fitzpatrick_centaur", "label"]
    header += ["nine_partition_label", "three_partition_label", "qc", "ddi_scale"]
    _write(root / "train.csv", header, rows)
    return root


def fake_folder(root: Path) -> Path:
    """One folder a class, and a table of the same images."""
    rows = []
    for code, label in enumerate(("benign", "malignant")):
        for number in range(10):
            noise(root / label / f"{number}.png", seed=7000 + 100 * code + number)
            rows.append([f"{label}/{number}.png", label])
    _write(root / "labels.csv", ["path", "label"], rows)
    return root


def _write(path: Path, header: list[str], rows: list[list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
