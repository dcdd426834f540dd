"""Cached activations: what is constant in a phase is computed once and not each epoch.

`Classifier.constant_boundary` names the latest boundary before which nothing trains: the pooled
vector in a frozen phase, an activation of a few kilobytes where the last layers are free. A phase
trains on the activations there, and only the rest of the network runs.

Without augmentation this changes nothing but rounding. With it, `views` augmented views of every
sample are drawn once, and epoch e of phase p walks view p + e modulo `views`, where the ordinary
path draws anew each epoch. SMOTE's samples are blends of pixels, so they have views as others do.

A picture's activation and its views depend on no split: folds, seeds of the head and trials of a
sweep share one file a view, which holds the pictures that any of them asked for. SMOTE's samples
belong to one training split and have files of their own.

Validation and test splits are kept in float32, so that scores are those of the network itself.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

from dermasense.data.datamodule import LesionData
from dermasense.data.dataset import View
from dermasense.data.growing_file import GrowingFile
from dermasense.data.row_file import check_room
from dermasense.data.sampling import view_seeds
from dermasense.errors import DermaSenseError, check_choice
from dermasense.inference.engine import Run, build_engine, resolve_engine
from dermasense.models.boundaries import IMAGE
from dermasense.models.classifier import Classifier
from dermasense.models.weight_files import fingerprint
from dermasense.training.cached_samples import Samples, split_samples

VERSION = 2
DTYPES = {"fp16": "float16", "fp32": "float32"}
# Fixed, and a smaller last batch is filled up: the last bits of a row then depend neither on the
# batch_size of a run nor on who stood beside it, and a killed build goes on to the same file.
BATCH = 64
log = logging.getLogger(__name__)


class Part(nn.Module):
    """The modules of a classifier between two boundaries."""

    def __init__(self, model: Classifier, start: str, end: str) -> None:
        super().__init__()
        self.model, self.start, self.end = model, start, end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.between(x, self.start, self.end)


class BoundaryCache:
    """Row files of activations, shared by the phases of a run and by runs with equal constants.

    Args:
        folder: where the files lie; any of them may be deleted.
        views: augmented views of every training sample.
        dtype: "fp16" or "fp32", of the training split.
        engine: what computes activations; see `dermasense.inference.engine`.
        device: where torch computes them.
        progress: called with (rows done, of all) while a file is built.

    Raises:
        DermaSenseError: for a value that is no good.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        views: int = 1,
        dtype: str = "fp16",
        engine: str = "auto",
        device: str = "cpu",
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if views < 1:
            raise DermaSenseError(f"cache.views={views}: expected an integer >= 1.")
        check_choice("cache.dtype", dtype, DTYPES)
        self.folder, self.views, self.dtype = Path(folder), views, DTYPES[dtype]
        self.engine, self.device = resolve_engine(engine, device), device
        self.progress = progress
        self.trunk = IMAGE
        # Of one `prepare`, whose splits and views share them: engines, and facts on boundaries.
        self._runs: dict[tuple, Run] = {}
        self._known: dict[str, tuple[str, tuple[int, ...]]] = {}

    def plan(self, model: Classifier, unfreeze: Sequence[int | str]) -> None:
        """Looks ahead at all phases: later boundaries are computed from the earliest one.

        So the pictures are read, augmented and pass the first layers once a run, not once a phase.

        Args:
            model: its freezing changes.
            unfreeze: of each phase.
        """
        found = set()
        for value in unfreeze:
            model.freeze(value)
            found.add(model.constant_boundary)
        self.trunk = next((b for b in model.boundaries[1:] if b in found), IMAGE)

    def prepare(self, model: Classifier, data: LesionData, splits: Sequence[str]) -> str:
        """Lets the loaders of `data` read activations at the model's constant boundary.

        Args:
            model: frozen as the phase asks, with the weights it starts from.
            data: its other splits read pictures afterwards.
            splits: "train" (every view of the balanced samples), "val", "test".

        Returns:
            The boundary; "image", the ordinary path, where nothing is constant.

        Raises:
            DermaSenseError: where the disk has no room, or activations exceed half precision.
        """
        boundary, data.activations = model.constant_boundary, {}
        if boundary == IMAGE or data.overfit_batches:
            return IMAGE
        try:
            data.activations = {
                split: self._activations(model, data, split, boundary) for split in splits
            }
        finally:
            self._runs.clear()  # weights may differ by the next time
            self._known.clear()
        return boundary

    def _activations(
        self, model: Classifier, data: LesionData, split: str, boundary: str
    ) -> list[View]:
        """The views of a split at a boundary: opened, or computed as far as they are absent."""
        views = self.views if split == "train" and data.augment else 1
        real, made, row = split_samples(data, split)
        parts = [part for part in (real, made) if part]
        files = [
            (part, self._file(model, data, split, boundary, part, view))
            for view in range(views)
            for part in parts
        ]
        absent = [len(file.missing(part.rows)) for part, file in files]
        if any(absent):
            nbytes = sum(absent) * files[0][1].row_bytes
            log.info(
                "Computing activations of split %s at %s once: %d samples, %.0f MB in %s; files "
                "there may be deleted.",
                split, boundary, sum(absent), nbytes / 1e6, self.folder,
            )  # fmt: skip
            self.folder.mkdir(parents=True, exist_ok=True)
            check_room(self.folder, nbytes, files[0][1].content)
        arrays = [
            [self._filled(model, data, split, boundary, part, view) for part in parts]
            for view in range(views)
        ]
        if not real:  # all are blends, which `row` counts from -1 downwards
            return [View(found[0], -1 - row) for found in arrays]
        return [View(found[0], row, *found[1:]) for found in arrays]

    def _filled(
        self,
        model: Classifier,
        data: LesionData,
        split: str,
        boundary: str,
        part: Samples,
        view: int,
    ) -> np.memmap:
        """The file of one view, with the samples of `part` in it."""
        file = self._file(model, data, split, boundary, part, view)
        start = self._start(model, boundary)

        def compute(missing: np.ndarray) -> Iterator[np.ndarray]:
            some = part.of(missing)
            if start == IMAGE:
                seeds = view_seeds(data.seed, view, some.count, made=some.made)[missing]
                loader = data.pictures(split, some.draws, seeds, BATCH)
                batches = (batch["x"].numpy() for batch in loader)
            else:
                trunk = self._filled(model, data, split, start, some, view)
                pieces = np.split(missing, range(BATCH, len(missing), BATCH))
                batches = (trunk[piece].astype(np.float32) for piece in pieces)
            return self._compute(Part(model, start, boundary), batches, file, len(missing))

        return file.filled(part.rows, compute)

    def _compute(
        self, part: Part, batches: Iterator[np.ndarray], file: GrowingFile, total: int
    ) -> Iterator[np.ndarray]:
        half = file.dtype == "float16" and self.device != "cpu"
        key, done = (part.start, part.end, half), 0
        for batch in batches:
            if key not in self._runs:
                self._runs[key] = build_engine(
                    part, batch, name=self.engine, device=self.device, half=half
                )
            fill = np.repeat(batch[-1:], BATCH - len(batch), axis=0)
            with np.errstate(over="ignore"):
                rows = self._runs[key](np.concatenate([batch, fill]))[: len(batch)]
                rows = rows.astype(file.dtype)
            if not np.isfinite(rows).all():
                raise DermaSenseError(
                    f"activations at {part.end} are not finite in {file.dtype}; "
                    "type cache.dtype=fp32, or cache=none."
                )
            yield rows
            done += len(rows)
            if self.progress:
                self.progress(done, total)

    def _file(
        self,
        model: Classifier,
        data: LesionData,
        split: str,
        boundary: str,
        part: Samples,
        view: int,
    ) -> GrowingFile:
        augmented = split == "train" and data.augment
        dtype = self.dtype if split == "train" else "float32"
        facts: list = [VERSION, timm.__version__, type(model.backbone).__name__, dtype]
        facts += [[view, data.looks, data.seed] if augmented else []]
        if boundary not in self._known:
            weights = fingerprint(model.modules_before(boundary))
            self._known[boundary] = weights, _shape(model, data, boundary)
        weights, shape = self._known[boundary]
        facts += [model.recipe.get("backbone"), weights]
        facts += [model.mean.flatten().tolist(), model.std.flatten().tolist()]
        facts += [data.prepared.store.path.name, boundary, self._start(model, boundary)]
        facts += [self.engine, self.device, part.identity]
        key = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()
        return GrowingFile(
            self.folder / f"activations-{boundary}-{key}.npy",
            (part.count, *shape),
            dtype,
            f"activations at {boundary}",
        )

    def _start(self, model: Classifier, boundary: str) -> str:
        order = model.boundaries.index
        return self.trunk if order(self.trunk) < order(boundary) else IMAGE


@torch.no_grad()
def _shape(model: Classifier, data: LesionData, boundary: str) -> tuple[int, ...]:
    size = data.prepared.store.images.shape[1]
    picture = torch.zeros((1, 3, size, size), dtype=torch.uint8, device=model.mean.device)
    return tuple(model.prefix(picture, boundary).shape[1:])
