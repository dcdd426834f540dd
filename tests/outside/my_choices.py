"""What somebody adds without touching the package; `conf` beside it has a yaml for each.

`tests/test_extending.py` trains with all of it, from a copy of this folder somewhere else.
"""

from pathlib import Path

import albumentations as A
import numpy as np
import torch
from torch import nn

from dermasense.cli import tool_command
from dermasense.data.augment import Augmentation
from dermasense.data.balance import Draws, Permutation
from dermasense.data.sources import synthetic
from dermasense.evaluation.decisions.referral import Referral

seen = {"labels": [], "split": None, "size": None}


class Squares(nn.Module):
    """The squared error of the probabilities, each class by its rarity."""

    def __init__(self, scale, class_counts):
        super().__init__()
        self.scale = scale
        self.register_buffer("rarity", torch.tensor(1.0 / class_counts, dtype=torch.float32))

    def forward(self, logits, target):
        if logits.requires_grad:
            seen["labels"] += target.tolist()
        wanted = nn.functional.one_hot(target, logits.shape[1])
        squares = (logits.softmax(dim=1) - wanted) ** 2
        return self.scale * (squares.sum(dim=1) * self.rarity[target]).mean()


def words(*_, **options):
    """What nobody can train with."""
    return list(options)


class Wide(nn.Module):
    def __init__(self, in_features, num_classes, width, slope=0.1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, width), nn.LeakyReLU(slope), nn.Linear(width, num_classes)
        )

    def forward(self, pooled):
        return self.layers(pooled)


def drawn(root, lesions):
    """Another hospital's pictures; here those of DermaSense under another name."""
    found = synthetic.catalog(root=root, n_lesions=lesions, image_px=48)
    frame = found.frame.assign(hospital="ours")
    return type(found)("drawn", frame, found.class_names, ("hospital",), "CC0", "nobody")


def only_rare(split, classes):
    """The images of the rarest classes alone."""
    rarest = np.bincount(split.labels).argsort()[:classes]
    seen["split"] = split
    return Permutation(Draws.of_rows(np.flatnonzero(np.isin(split.labels, rarest))))


def misses(logits, labels, of=0):
    """Share of the images of one class that are answered with another; less is better."""
    return float((logits.argmax(axis=1) != of)[labels == of].mean())


def dark(image_size, by):
    seen["size"] = image_size
    return Augmentation([A.RandomBrightnessContrast((-by, -by), (0, 0), p=1.0)])


class Shy(Referral):
    """Leaves the sure ones to a person."""

    name = "shy"

    def apply(self, logits, frame=None):
        return ~super().apply(logits)


def count(settings):
    from dermasense.data.loading import load_catalog

    catalog = load_catalog(settings["data"])
    print(catalog.name, len(catalog.frame) * settings["times"])


def main():
    tool_command(count, "count", conf=Path(__file__).parent / "conf")


if __name__ == "__main__":
    main()
