"""Small sets with known faults: textured pictures on disk, an embedder without a network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dermasense.auditing.subject import Subject
from dermasense.data.catalog import Catalog
from dermasense.data.preprocess import InputSpec
from dermasense.data.store import DecodedStore

SPEC = InputSpec(96, "squash", (0.5,) * 3, (0.5,) * 3)
CLASSES = ("a", "b", "c")


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Blobs of several sizes on skin; every seed another picture."""
    rng = np.random.default_rng(seed)
    layers = np.full((size[1], size[0], 3), (205.0, 160.0, 140.0))
    for cells, strength in ((6, 40), (16, 30), (40, 25)):
        noise = (rng.normal(0, strength, (cells, cells, 3)).clip(-127, 127) + 128).astype(np.uint8)
        layers += np.asarray(Image.fromarray(noise).resize(size, Image.BICUBIC), float) - 128
    return Image.fromarray(layers.clip(0, 255).astype(np.uint8))


def framed(seed: int) -> Image.Image:
    """A scene behind the black round rim of a dermatoscope, the same rim each time."""
    picture = np.asarray(scene(seed)).copy()
    down, across = np.mgrid[: picture.shape[0], : picture.shape[1]]
    outside = (down - 60) ** 2 + (across - 80) ** 2 > 70**2
    picture[outside] = 0
    return Image.fromarray(picture)


@dataclass
class FakeEmbedder:
    """Colours of a 4 x 4 thumbnail, or vectors that the test gives."""

    vectors: np.ndarray | None = None

    def store(self, paths, cache_dir, progress=None) -> DecodedStore:
        return DecodedStore.open_or_build(paths, SPEC, cache_dir)

    def embed(self, store, cache_dir, progress=None) -> np.ndarray:
        if self.vectors is not None:
            return self.vectors
        tiles = np.asarray(store.images, np.float32).reshape(len(store), 4, 24, 4, 24, 3)
        return tiles.mean((2, 4)).reshape(len(store), -1)


def subject(
    folder: Path,
    pictures: list[Image.Image | bytes | None],
    labels: list[str] | None = None,
    groups: list[str] | None = None,
    vectors: np.ndarray | None = None,
    **more,
) -> Subject:
    """A subject of these pictures: images, the bytes of a file, or None for a file that is absent.

    Args:
        more: columns of attributes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for row, picture in enumerate(pictures):
        path = folder / f"{row:04d}.jpg"
        if isinstance(picture, bytes):
            path.write_bytes(picture)
        elif picture is not None:
            picture.save(path, quality=90)
        paths.append(str(path))
    n = len(paths)
    labels = labels or [CLASSES[i % 2] for i in range(n)]
    frame = pd.DataFrame({"image_id": [f"p{i}" for i in range(n)], "path": paths, "label": labels})
    frame["group"] = groups or [f"g{i}" for i in range(n)]
    frame["origin"] = [f"table row {i + 2}" for i in range(n)]
    frame = frame.assign(**more)
    names = tuple(name for name in CLASSES if name in labels)
    catalog = Catalog("planted", frame, names, tuple(more), "none", "")
    return Subject(catalog, FakeEmbedder(vectors), str(folder / "cache"), resamples=200)


def clouds(
    n: int, classes: int = 3, width: int = 8, spread: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
    """Vectors (n, width) of well parted classes in turn, and their labels."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    centres = 4 * np.eye(classes, width)
    vectors = centres[codes] + rng.normal(0, spread, (n, width))
    return vectors.astype(np.float32), [CLASSES[code] for code in codes]


def dots(n: int) -> list[Image.Image]:
    """n pictures of 8 x 8 px, for where only vectors count."""
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for _ in range(n)]
