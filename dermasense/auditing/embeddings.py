"""Frozen embeddings of a pretrained network, computed once and kept: what audits see of a picture.

The network has never seen the labels, so that whatever a probe on its embeddings gets right or
wrong is not something that it was taught.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

from dermasense.data.preprocess import InputSpec
from dermasense.data.row_file import RowFile, RowWriter
from dermasense.data.store import DecodedStore
from dermasense.inference.engine import build_engine, resolve_engine
from dermasense.models.boundaries import IMAGE, POOLED
from dermasense.models.classifier import Classifier, build_classifier
from dermasense.models.weight_files import fingerprint

VERSION = 1
BATCH = 32


class _Trunk(nn.Module):
    """The network up to the pooled vector."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier.between(images, IMAGE, POOLED)


@dataclass(frozen=True)
class Embedder:
    """A frozen network with the pixels it asks for.

    Attributes:
        classifier: its head plays no part.
        spec: what a picture is made into.
        engine: "auto", "onnx" or "torch"; see `dermasense.inference.engine`.
        device: where torch computes.
    """

    classifier: Classifier
    spec: InputSpec
    engine: str = "auto"
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        *,
        backbone: str,
        weights: str,
        image_size: int,
        resize: str = "squash",
        engine: str = "auto",
    ) -> "Embedder":
        """The embedder of a pretrained backbone; arguments as for `build_classifier`.

        Raises:
            DermaSenseError: an unknown backbone, or weights that cannot be had.
        """
        classifier, spec, _ = build_classifier(
            backbone=backbone,
            num_classes=2,
            head={"name": "linear", "dropout": 0.0},
            image_size=image_size,
            weights=weights,
            resize=resize,
            interpolation="lanczos",
        )
        return cls(classifier.eval(), spec, engine)

    def store(
        self,
        paths: list[str],
        cache_dir: str | Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> DecodedStore:
        """The pixels of these files; its `unreadable` says what is broken."""
        return DecodedStore.open_or_build(paths, self.spec, cache_dir, progress)

    def embed(
        self,
        store: DecodedStore,
        cache_dir: str | Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Pooled vectors (N, D) float32 of a store's rows, from the cache where they are in it.

        Raises:
            DermaSenseError: where the disk has no room.
        """
        width = self._width()
        name = f"embeddings-{self._key(store)}.npy"
        file = RowFile(Path(cache_dir) / name, (len(store), width), "float32", "embeddings")

        def build(write: RowWriter) -> dict:
            run = None
            for start in range(0, len(store), BATCH):
                pictures = store.images[start : start + BATCH].transpose(0, 3, 1, 2)
                batch = np.ascontiguousarray(pictures)
                if run is None:
                    trunk = _Trunk(self.classifier)
                    run = build_engine(trunk, batch, name=self.engine, device=self.device)
                write(start, run(batch).astype(np.float32))
                if progress:
                    progress(min(start + BATCH, len(store)), len(store))
            return {"backbone": self.classifier.recipe.get("backbone")}

        rows, _ = file.open_or_build(build)
        return np.array(rows)

    @torch.no_grad()
    def _width(self) -> int:
        size = self.spec.image_size
        return _Trunk(self.classifier)(torch.zeros((1, 3, size, size), dtype=torch.uint8)).shape[1]

    def _key(self, store: DecodedStore) -> str:
        facts = [VERSION, timm.__version__, self.classifier.recipe.get("backbone")]
        facts += [fingerprint(self.classifier.modules_before(POOLED)), store.path.name]
        # A store keeps its name where a program was installed that reads more of its pictures.
        facts += [sorted(store.unreadable)] if store.unreadable else []
        facts += [list(self.spec.mean), list(self.spec.std)]
        facts += [resolve_engine(self.engine, self.device), self.device]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()
