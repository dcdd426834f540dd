"""Pooled vectors of frozen EfficientNet-Lites, in several views, computed once and kept.

    python benchmarks/features.py DATA CACHE [ham10000:lite0:flips fitzpatrick21:lite2@160:none ...]

DATA holds ham10000/ and fitzpatrick21/. What is asked for stands as set:network:views; a network is
seen at the side that its weights were trained at, or at another one after an @. The views are those
of `dermasense.inference.views` that only turn and mirror. Each view of each network is a file of
its own in CACHE, so that a pass that was cut loses at most one view.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from dermasense.auditing.embeddings import Embedder
from dermasense.data.catalog import Catalog
from dermasense.data.sources import fitzpatrick21, ham10000
from dermasense.data.store import DecodedStore
from dermasense.inference.views import VIEW, view_names

# timm's name and the side in pixels that the weights were trained at.
NETWORKS = {
    "lite0": ("tf_efficientnet_lite0", 224),
    "lite1": ("tf_efficientnet_lite1", 240),
    "lite2": ("tf_efficientnet_lite2", 260),
}
SOURCES = {"ham10000": ham10000.catalog, "fitzpatrick21": fitzpatrick21.catalog}
WANTED = ("ham10000:lite0:flips", "ham10000:lite1:flips", "ham10000:lite2:flips")


def network_of(word: str) -> tuple[str, int]:
    """timm's name and the side in pixels of "lite0" or "lite0@96".

    Raises:
        SystemExit: a network that is not known.
    """
    name, _, side = word.partition("@")
    if name not in NETWORKS or not (side.isdigit() or side == ""):
        raise SystemExit(f"{word}: expected {', '.join(NETWORKS)}, or one of them @ a side")
    return NETWORKS[name][0], int(side or NETWORKS[name][1])


def full_name(word: str) -> str:
    """ "lite0@224" of "lite0": as `network_costs.csv` names it."""
    return f"{word.partition('@')[0]}@{network_of(word)[1]}"


class Turned:
    """A store seen in one view: what `Embedder.embed` reads of a store."""

    def __init__(self, store: DecodedStore, view: str) -> None:
        self.store, self.view = store, view
        # The name is part of the key of the vectors.
        self.path = store.path if view == "as_is" else store.path.with_suffix(f".{view}")
        self.images = self
        self.unreadable = store.unreadable

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, rows: slice) -> np.ndarray:
        pictures = torch.from_numpy(np.array(self.store.images[rows]).transpose(0, 3, 1, 2))
        return VIEW[self.view](pictures).numpy().transpose(0, 2, 3, 1)


def source(data: Path, name: str, cache: Path) -> Catalog:
    """The catalog of a set below `data`, near-duplicate clusters kept in `cache`."""
    options = {"cache_dir": str(cache)} if name == "fitzpatrick21" else {}
    return SOURCES[name](str(data / name), **options)


def vectors(paths: list[str], network: str, views: str, cache: Path) -> np.ndarray:
    """Pooled vectors of pictures.

    Args:
        paths: N files.
        network: as for :func:`network_of`.
        views: "none", "flips", ...; V names.
        cache: where pixels and vectors are kept.

    Returns:
        (V, N, D) float32, the picture as it is first.
    """
    backbone, side = network_of(network)
    embedder = Embedder.of(backbone=backbone, weights="package", image_size=side)
    store = embedder.store(paths, cache)
    if store.unreadable:
        row, reason = next(iter(store.unreadable.items()))
        raise SystemExit(f"{paths[row]}: {reason}; {len(store.unreadable)} such pictures.")
    return np.stack([embedder.embed(Turned(store, view), cache) for view in view_names(views)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("wanted", nargs="*", default=WANTED)
    asked = parser.parse_args()
    for each in asked.wanted:
        name, network, views = each.split(":")
        paths = source(asked.data, name, asked.cache).frame["path"].tolist()
        print(each, vectors(paths, network, views, asked.cache).shape, flush=True)


if __name__ == "__main__":
    main()
