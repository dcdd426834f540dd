"""A bundle that answers: pictures in, logits or embeddings out, on the fastest engine there is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from dermasense.data.preprocess import InputSpec, read_rgb, resize_rgb
from dermasense.data.store import DecodedStore
from dermasense.inference.engine import Run, build_engine
from dermasense.inference.views import averaged_logits, check_views
from dermasense.models.boundaries import IMAGE, POOLED
from dermasense.models.bundle import Bundle, load_bundle
from dermasense.models.classifier import Classifier


@dataclass
class Predictor:
    """A trained model ready to answer; every door (evaluate, predict, serve, stress) uses this one.

    The picture goes through `dermasense.data.preprocess`, as in training, and is normalised by the
    classifier itself. Logits are the model's own: neither a temperature nor any other calibration
    is applied here.

    Args:
        bundle: of :func:`load_bundle`.
        device: where torch computes; a CPU takes ONNX Runtime where it is installed.
        engine: "auto", "onnx" or "torch".
        views: test-time augmentation; a name of `dermasense.inference.views`.
        batch_size: pictures at once.
    """

    bundle: Bundle
    device: str = "cpu"
    engine: str = "auto"
    views: str = "none"
    batch_size: int = 16
    _runs: dict[str, Run] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_views(self.views)

    @classmethod
    def of(cls, folder: str | Path, **options) -> "Predictor":
        """The predictor of a bundle folder, or of a finished run's folder.

        Raises:
            DermaSenseError: as :func:`load_bundle`.
        """
        folder = Path(folder)
        inside = folder / "bundle"
        return cls(load_bundle(inside if inside.is_dir() else folder), **options)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The order of the logits."""
        return self.bundle.class_names

    @property
    def spec(self) -> InputSpec:
        """What a picture is made into."""
        return self.bundle.spec

    def pixels(self, source: str | Path | bytes) -> np.ndarray:
        """The model's pixels of one picture, (S, S, 3) uint8.

        Raises:
            UnreadableImage: naming the picture and what is wrong with it.
        """
        return resize_rgb(read_rgb(source, self.spec.max_pixels), self.spec)

    def logits(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Logits (N, C) float32 of pixels (N, S, S, 3) uint8: an array, a memory map, or a list.

        With views they are the mean log-probabilities over the views.
        """
        answer = self._run("logits", lambda model: model, images)

        def network(batch: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(answer(batch.numpy()))

        def of(batch: np.ndarray) -> np.ndarray:
            return averaged_logits(network, torch.from_numpy(batch), self.views).numpy()

        return self._over(images, of, len(self.class_names))

    def embeddings(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Pooled vectors of the backbone (N, D) float32, which the head reads; no views."""
        run = self._run("embeddings", _Pooled, images)
        width = run(_batch(images[:1])).shape[1] if len(images) else 0
        return self._over(images, run, width)

    def stored(
        self,
        paths: Sequence[str],
        cache_dir: str | Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> DecodedStore:
        """The pixels of many files, decoded once and kept; its `unreadable` says what is broken."""
        return DecodedStore.open_or_build(paths, self.spec, Path(cache_dir), progress)

    def _run(self, name: str, part: Callable[[Classifier], torch.nn.Module], images) -> Run:
        if name not in self._runs:
            size = self.spec.image_size
            example = _batch(images[:2]) if len(images) else np.zeros((1, 3, size, size), np.uint8)
            self._runs[name] = build_engine(
                part(self.bundle.classifier), example, name=self.engine, device=self.device
            )
        return self._runs[name]

    def _over(self, images, of: Run, width: int) -> np.ndarray:
        out = np.empty((len(images), width), np.float32)
        for rows in _slices(len(images), self.batch_size):
            out[rows] = of(_batch(images[rows]))
        return out


class _Pooled(torch.nn.Module):
    """The network up to the pooled vector, as a module of its own for the engine."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier.between(images, IMAGE, POOLED)


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, n)) for first in range(0, n, size))


def _batch(images: Iterable[np.ndarray]) -> np.ndarray:
    """(n, S, S, 3) -> (n, 3, S, S), contiguous."""
    return np.ascontiguousarray(np.stack(list(images)).transpose(0, 3, 1, 2))
