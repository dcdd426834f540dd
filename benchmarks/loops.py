"""The loops that steps.py and gpu.py time: ours, a bare one, timm's; steps and forwards alone."""

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import lightning as L
import numpy as np
import pandas as pd
import timm.data
import timm.optim
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dermasense.data.augment import light
from dermasense.data.catalog import Catalog
from dermasense.data.datamodule import LesionData
from dermasense.data.prepared import Prepared
from dermasense.inference.engine import build_engine
from dermasense.models.classifier import Classifier, build_classifier
from dermasense.training.boundary_cache import Part
from dermasense.training.freed_memory import freed_memory_kept
from dermasense.training.hardware import resolve_workers
from dermasense.training.module import LesionClassifier
from dermasense.training.optimizers import build_optimizer
from dermasense.training.schedules import build_schedule

WARM = 3
warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Clock(nn.Module):
    """Cross-entropy that notes when it is called: once a step, in every loop alike."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.times = device, []

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            if self.device == "cuda":
                torch.cuda.synchronize()
            self.times.append(time.perf_counter())
        return nn.functional.cross_entropy(logits.float(), target)

    def rate(self, batch_size: int) -> float:
        """Images a second over all but the first steps."""
        steps = self.times[WARM:]
        return batch_size * (len(steps) - 1) / (steps[-1] - steps[0])


class Bench:
    """Networks, pictures and the loops over them.

    Args:
        options: the command line's.
    """

    precision = "32-true"  # of `ours`

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.size, self.batch = options, options.image_size, options.batch_size
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.workers = resolve_workers("auto")
        rng = np.random.default_rng(0)
        count = self.batch * (options.steps + WARM + 1)
        self.images = rng.integers(0, 256, (count, self.size, self.size, 3), dtype=np.uint8)
        self.labels = rng.integers(0, 7, count)

    def model(self, unfreeze: int | str, *, plain: bool = False) -> Classifier:
        """What is trained; `plain`: with torch's own gradients of depthwise convolutions."""
        torch.manual_seed(0)
        head = {"name": "se_mlp"}
        with patch("dermasense.models.classifier.quicken") if plain else nullcontext():
            made, _, _ = build_classifier(
                backbone=self.options.backbone, num_classes=7, head=head, image_size=self.size
            )
        made.freeze(unfreeze)
        return made.to(self.device).train()

    def data(self) -> LesionData:
        names = tuple("abcdefg")
        frame = pd.DataFrame({"image_id": range(len(self.labels)), "path": "", "origin": ""})
        frame["label"] = np.array(names)[self.labels]
        frame["group"] = frame["image_id"].astype(str)
        catalog = Catalog("random", frame, names, (), "", "")
        store = SimpleNamespace(images=self.images, path=Path("random.npy"))
        split = pd.Series("train", index=frame.index)
        return LesionData(
            Prepared(catalog, store, split, np.arange(len(frame))),
            balance={"name": "none"},
            augment=light(image_size=self.size),
            batch_size=self.batch,
            num_workers=self.workers,
            seed=0,
        )

    def ours(self, precision: str | None = None, *, plain: bool = False) -> float:
        """Through LesionData, LesionClassifier and Lightning's Trainer, as a phase is fitted."""
        clock, data = Clock(self.device), self.data()
        data.val_dataloader = lambda: []
        module = LesionClassifier(
            self.model("all", plain=plain),
            clock,
            make_optimizer=lambda net: build_optimizer(net, name="adamw", lr=1e-3),
            make_schedule=lambda opt, steps: build_schedule(
                opt, {"name": "constant"}, total_steps=steps, mode="min"
            ),
            seed=0,
            phase=0,
        )
        data.start_at(0)
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="gpu" if self.device == "cuda" else "cpu",
            devices=1,
            precision=precision or self.precision,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            reload_dataloaders_every_n_epochs=1,
        )
        with freed_memory_kept():
            trainer.fit(module, datamodule=data)
        return clock.rate(self.batch)

    def bare(self) -> float:
        """The shortest loop that a person would write."""
        images = Plain(self.images, self.labels, light(image_size=self.size))
        loader = DataLoader(
            images,
            self.batch,
            shuffle=True,
            num_workers=self.workers,
            pin_memory=self.device == "cuda",
        )
        net = self.model("all", plain=True)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
        return self.loop(net, optimizer, loader)

    def timm(self) -> float:
        """timm's loader on pictures in memory, and its optimizer factory."""
        pictures = Pillow(self.images, self.labels)
        loader = timm.data.create_loader(
            pictures,
            input_size=(3, self.size, self.size),
            batch_size=self.batch,
            is_training=True,
            use_prefetcher=self.device == "cuda",
            scale=(0.8, 1.0),
            color_jitter=0.2,
            num_workers=self.workers,
            device=torch.device(self.device),
            persistent_workers=False,
        )
        net = self.model("all", plain=True)
        net.normalise = lambda x: x  # the loader has done it
        optimizer = timm.optim.create_optimizer_v2(net, opt="adamw", lr=1e-3)
        return self.loop(net, optimizer, loader)

    def loop(self, net: nn.Module, optimizer: torch.optim.Optimizer, loader) -> float:
        clock = Clock(self.device)
        for pictures, labels in loader:
            pictures = pictures.to(self.device, non_blocking=True)
            if self.options.channels_last:
                pictures = pictures.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            clock(net(pictures), labels.to(self.device, non_blocking=True)).backward()
            optimizer.step()
        return clock.rate(self.batch)

    def suffix(self, unfreeze: int) -> float:
        """Steps of what is free, on activations that are there."""
        net = self.model(unfreeze)
        boundary = net.constant_boundary
        with torch.no_grad():
            pictures = torch.from_numpy(self.images[: self.batch]).permute(0, 3, 1, 2)
            activation = net.prefix(pictures.to(self.device), boundary)
        return self.steps(net, lambda: net.suffix(activation, boundary))

    def whole(self, unfreeze: int) -> float:
        """Steps of the same layers behind the whole network."""
        net = self.model(unfreeze)
        pictures = torch.from_numpy(self.images[: self.batch]).permute(0, 3, 1, 2).to(self.device)
        return self.steps(net, lambda: net(pictures))

    def steps(self, net: nn.Module, forward: Callable[[], torch.Tensor]) -> float:
        clock, target = Clock(self.device), torch.zeros(self.batch, dtype=torch.long)
        optimizer = build_optimizer(net, name="adamw", lr=1e-3)
        with freed_memory_kept():
            for _ in range(self.options.steps + WARM):
                optimizer.zero_grad()
                clock(forward(), target.to(self.device)).backward()
                optimizer.step()
        return clock.rate(self.batch)

    def engine(self, batch: int) -> float:
        net = self.model(0).cpu()
        pictures = self.pictures(batch)
        run = build_engine(Part(net, "image", "pooled"), pictures, device=self.device)
        return self.forwards(lambda: run(pictures), batch)

    def eager(self, batch: int) -> float:
        net = build_classifier(
            backbone=self.options.backbone,
            num_classes=7,
            head={"name": "linear"},
            image_size=self.size,
            channels_last=False,
        )[0].to(self.device)
        net.freeze(0)
        net.eval()
        pictures = torch.from_numpy(self.pictures(batch))
        with torch.inference_mode():
            return self.forwards(lambda: net.prefix(pictures.to(self.device), "pooled"), batch)

    def pictures(self, batch: int) -> np.ndarray:
        return np.ascontiguousarray(self.images[:batch].transpose(0, 3, 1, 2))

    def forwards(self, run: Callable[[], object], batch: int) -> float:
        times = []
        for _ in range(max(WARM + 5, self.options.steps * self.batch // (4 * batch))):
            times.append(time.perf_counter())
            run()
        times = times[WARM:]
        return batch * (len(times) - 1) / (times[-1] - times[0])


class Plain(Dataset):
    """One image at a time, augmented."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, augment) -> None:
        self.images, self.labels, self.augment = images, labels, augment

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = self.augment(self.images[i], int(torch.randint(2**31, ())))
        return torch.from_numpy(image).permute(2, 0, 1), int(self.labels[i])


class Pillow(Dataset):
    """One PIL image at a time, with the transform that timm's loader sets."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels, self.transform = images, labels, None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int):
        return self.transform(Image.fromarray(self.images[i])), int(self.labels[i])
