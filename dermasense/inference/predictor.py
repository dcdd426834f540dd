"""A bundle that answers: pictures in, logits or embeddings out, on the fastest engine there is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image

from dermasense.data.preprocess import InputSpec, read_rgb, resize_rgb
from dermasense.data.store import DecodedStore
from dermasense.inference.engine import Run, build_engine, check_device, resolve_engine
from dermasense.inference.exported import ExportedBundle, is_exported, load_exported
from dermasense.inference.views import (
    AS_IS,
    Views,
    averaged_logits,
    check_views,
    view_names,
    views_of,
)
from dermasense.models.boundaries import IMAGE, POOLED
from dermasense.models.bundle import Bundle, load_bundle
from dermasense.models.classifier import Classifier
from dermasense.run_folder import bundle_in

Source = str | Path | bytes | BinaryIO | Image.Image


@dataclass
class Predictor:
    """A trained model ready to answer; every door (evaluate, predict, serve, stress) uses this one.

    The picture goes through `dermasense.data.preprocess`, as in training, and is normalised by the
    classifier itself. Logits are the model's own: neither a temperature nor any other calibration
    is applied here.

    Args:
        bundle: of :func:`load_bundle`, or of :func:`load_exported`, which brings its own engine.
        device: where torch computes; a CPU takes ONNX Runtime where it is installed.
        engine: "auto", "onnx" or "torch".
        views: test-time augmentation; names of `dermasense.inference.views`.
        average: of the views, "log" or "probability"; see `averaged_logits`.
        batch_size: pictures at once.

    Raises:
        DermaSenseError: for a device that is not there, and for unknown names.
    """

    bundle: Bundle | ExportedBundle
    device: str = "cpu"
    engine: str = "auto"
    views: str = "none"
    average: str = "log"
    batch_size: int = 16
    _runs: dict[str, Run] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_views(views=self.views, average=self.average)
        check_device(self.device)
        resolve_engine(self.engine, self.device)

    @classmethod
    def of(
        cls,
        folder: str | Path,
        *,
        views: str | None = None,
        average: str | None = None,
        **options,
    ) -> "Predictor":
        """The predictor of a bundle folder, or of a finished run's folder.

        A folder with an ensemble gives an `EnsemblePredictor`, which answers like this class.

        Args:
            folder: see above.
            views, average: None takes those of the bundle, or one view where it tells of none.
            **options: of the class.

        Raises:
            DermaSenseError: as :func:`load_bundle`.
        """
        folder = bundle_in(Path(folder))
        from dermasense.inference import ensemble  # its members are predictors

        if ensemble.is_ensemble(folder):
            return ensemble.EnsemblePredictor.of(folder, views=views, average=average, **options)
        bundle = load_exported(folder) if is_exported(folder) else load_bundle(folder)
        own = views_of(folder, bundle.info) or Views()
        return cls(bundle, views=views or own.views, average=average or own.average, **options)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The order of the logits."""
        return self.bundle.class_names

    @property
    def spec(self) -> InputSpec:
        """What a picture is made into."""
        return self.bundle.spec

    @property
    def specs(self) -> list[InputSpec]:
        """What a picture is made into, one input a network behind it: here one."""
        return [self.spec]

    @property
    def other_views(self) -> str:
        """A sentence where its views are not those that the bundle tells of; "" else."""
        asked, own = Views(self.views, self.average), views_of(Path(), self.bundle.info)
        if own is None or asked.same_as(own):
            return ""
        words, theirs = (f"tta.views={v} tta.average={a}" for v, a in (asked, own))
        return (
            f"{words} is not what the bundle was tested with, {theirs}: its temperature, sets and "
            "referral were fitted on those answers and may not hold for these."
        )

    def pixels(self, source: Source, name: str = "") -> np.ndarray:
        """The model's pixels of one picture, (S, S, 3) uint8.

        Args:
            source: path, the file's bytes, an open binary file, or a PIL picture.
            name: what to call it in messages; default the path, or "image".

        Raises:
            UnreadableImage: naming the picture and what is wrong with it.
        """
        return resize_rgb(read_rgb(source, self.spec.max_pixels, name), self.spec)

    def parts(self, pixels: np.ndarray) -> list[np.ndarray]:
        """What each network behind it sees of a picture: here one, its :meth:`pixels`."""
        return [pixels]

    def logits(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Logits (N, C) float32 of pixels (N, S, S, 3) uint8: an array, a memory map, or a list.

        With views they are the log-probabilities of the average over the views.
        """
        answer = self._run("logits", lambda model: model, images)

        def network(batch: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(answer(batch.numpy()))

        def of(batch: np.ndarray) -> np.ndarray:
            pixels = torch.from_numpy(batch)
            return averaged_logits(network, pixels, self.views, self.average).numpy()

        return self._over(images, of, len(self.class_names))

    def embeddings(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Pooled vectors of the backbone (N, D) float32, which the head reads; no views."""
        return self._over(images, self._run("embeddings", _Pooled, images), 0)

    def logits_and_embeddings(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What `logits` and `embeddings` give; one pass more where `as_is` is none of the views."""
        classes, run = len(self.class_names), self._run("both", _Both, images)
        names = view_names(self.views)

        def of(batch: np.ndarray) -> np.ndarray:
            vectors: list[np.ndarray] = []

            def network(turned: torch.Tensor) -> torch.Tensor:
                out = run(turned.numpy())
                vectors.append(out[:, classes:])
                return torch.from_numpy(out[:, :classes])

            logits = averaged_logits(
                network, torch.from_numpy(batch), self.views, self.average
            ).numpy()
            seen = dict(zip(names, vectors, strict=True))
            own = seen[AS_IS] if AS_IS in seen else run(batch)[:, classes:]
            return np.concatenate([logits, own], axis=1)

        both = self._over(images, of, classes)
        return both[:, :classes], both[:, classes:]

    def stored(
        self,
        paths: Sequence[str],
        cache_dir: str | Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> DecodedStore:
        """The pixels of many files, decoded once and kept; its `unreadable` says what is broken."""
        return DecodedStore.open_or_build(paths, self.spec, Path(cache_dir), progress)

    def _run(self, name: str, part: Callable[[Classifier], torch.nn.Module], images) -> Run:
        if name not in self._runs and isinstance(self.bundle, ExportedBundle):
            self._runs[name] = self.bundle.run(name, self.device)
        if name not in self._runs:
            size = self.spec.image_size
            example = _batch(images[:2]) if len(images) else np.zeros((1, 3, size, size), np.uint8)
            self._runs[name] = build_engine(
                part(self.bundle.classifier), example, name=self.engine, device=self.device
            )
        return self._runs[name]

    def _over(self, images, of: Run, width: int) -> np.ndarray:
        """Outputs (N, ...) of all images, batch by batch; (0, width) of none."""
        out = np.empty((0, width), np.float32)
        for rows in _slices(len(images), self.batch_size):
            part = of(_batch(images[rows]))
            if rows.start == 0:
                out = np.empty((len(images), *part.shape[1:]), np.float32)
            out[rows] = part
        return out


class _Both(torch.nn.Module):
    """Logits and pooled vector side by side, (N, C + D): one tensor is what an engine gives."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = self.classifier.between(images, IMAGE, POOLED)
        return torch.cat([self.classifier.suffix(pooled, POOLED), pooled], 1)


class _Pooled(torch.nn.Module):
    """The network up to the pooled vector, as a module of its own for the engine."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier.between(images, IMAGE, POOLED)


def input_sides(specs: Sequence[InputSpec]) -> str:
    """The sides of inputs in pixels, each once: "144", "144 and 200"."""
    return " and ".join(dict.fromkeys(str(spec.image_size) for spec in specs))


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, n)) for first in range(0, n, size))


def _batch(images: Iterable[np.ndarray]) -> np.ndarray:
    """(n, S, S, 3) -> (n, 3, S, S), contiguous."""
    return np.ascontiguousarray(np.stack(list(images)).transpose(0, 3, 1, 2))
