"""Cached activations: what is constant in a phase is computed once and not each epoch.

`Classifier.constant_boundary` names the latest boundary before which nothing trains: the pooled
vector in a frozen phase, an activation of a few kilobytes where the last layers are free. A phase
trains on the activations there, and only the rest of the network runs.

Without augmentation this changes nothing but rounding. With it, `views` augmented views of every
sample are drawn once, and epoch e of phase p walks view p + e modulo `views`, where the ordinary
path draws anew each epoch. SMOTE's samples are blends of pixels, so they have views as others do.

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
from dermasense.data.row_file import RowFile, RowWriter
from dermasense.errors import DermaSenseError, nearest
from dermasense.inference.engine import Run, build_engine, resolve_engine
from dermasense.models.boundaries import IMAGE
from dermasense.models.classifier import Classifier
from dermasense.models.weight_files import fingerprint

VERSION = 1
DTYPES = {"fp16": "float16", "fp32": "float32"}
BATCH = 64  # fixed, so that a run's batch_size plays no part in the last bits
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
        if dtype not in DTYPES:
            raise DermaSenseError(f"cache.dtype={dtype} is unknown; {nearest(dtype, DTYPES)}")
        self.folder, self.views, self.dtype = Path(folder), views, DTYPES[dtype]
        self.engine, self.device = resolve_engine(engine, device), device
        self.progress = progress
        self.trunk = IMAGE
        self._runs: dict[tuple, Run] = {}  # engines of one `prepare`: its splits share them

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
        return boundary

    def _activations(
        self, model: Classifier, data: LesionData, split: str, boundary: str
    ) -> np.ndarray:
        """(views, n, ...) at a boundary: opened, or computed where they are absent."""
        views = self.views if split == "train" and data.augment else 1
        dtype = self.dtype if split == "train" else "float32"
        count = len(data.draws(split))
        name = f"activations-{boundary}-{self._key(model, data, split, boundary, views)}.npy"
        shape = (views * count, *_shape(model, data, boundary))
        file = RowFile(self.folder / name, shape, dtype, f"activations at {boundary}")

        def build(write: RowWriter) -> dict:
            log.info(
                "Computing the activations of split %s at %s once: %d x %d samples, %.0f MB "
                "in %s; files there may be deleted.",
                split, boundary, views, count, file.nbytes / 1e6, self.folder,
            )  # fmt: skip
            start = self._start(model, boundary)
            if start == IMAGE:
                batches = _pictures(data, split, views)
            else:
                batches = _rows(self._activations(model, data, split, start))
            self._compute(write, Part(model, start, boundary), batches, file)
            return {"split": split, "boundary": boundary, "views": views}

        rows, _ = file.open_or_build(build)
        return rows.reshape(views, count, *rows.shape[1:])

    def _compute(
        self, write: RowWriter, part: Part, batches: Iterator[np.ndarray], file: RowFile
    ) -> None:
        half = file.dtype == "float16" and self.device != "cpu"
        key, done = (part.start, part.end, half), 0
        for batch in batches:
            if key not in self._runs:
                self._runs[key] = build_engine(
                    part, batch, name=self.engine, device=self.device, half=half
                )
            with np.errstate(over="ignore"):
                rows = self._runs[key](batch).astype(file.dtype)
            if not np.isfinite(rows).all():
                raise DermaSenseError(
                    f"activations at {part.end} are not finite in {file.dtype}; "
                    "type cache.dtype=fp32, or cache=none."
                )
            write(done, rows)
            done += len(rows)
            if self.progress:
                self.progress(done, file.shape[0])

    def _start(self, model: Classifier, boundary: str) -> str:
        order = model.boundaries.index
        return self.trunk if order(self.trunk) < order(boundary) else IMAGE

    def _key(
        self, model: Classifier, data: LesionData, split: str, boundary: str, views: int
    ) -> str:
        """Names all that decides about the numbers, of the head and the loss nothing."""
        draws, options = data.draws(split), []
        if split == "train":
            options = [views, self.dtype]
            if data.augment:
                options += [data.augment.description, data.seed]
        facts = [VERSION, timm.__version__, type(model.backbone).__name__, options]
        facts += [model.recipe.get("backbone"), fingerprint(model.modules_before(boundary))]
        facts += [model.mean.flatten().tolist(), model.std.flatten().tolist()]
        facts += [data.prepared.store.path.name, boundary, self._start(model, boundary)]
        facts += [self.engine, self.device]
        key = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16)
        for array in (data.dataset(split).rows, draws.first, draws.second, draws.weight):
            key.update(np.ascontiguousarray(array))
        return key.hexdigest()


def _pictures(data: LesionData, split: str, views: int) -> Iterator[np.ndarray]:
    for view in range(views):
        for batch in data.view_loader(split, view, BATCH):
            yield batch["x"].numpy()


def _rows(activations: np.ndarray) -> Iterator[np.ndarray]:
    for view in activations:
        for start in range(0, len(view), BATCH):
            yield view[start : start + BATCH].astype(np.float32)


@torch.no_grad()
def _shape(model: Classifier, data: LesionData, boundary: str) -> tuple[int, ...]:
    size = data.prepared.store.images.shape[1]
    picture = torch.zeros((1, 3, size, size), dtype=torch.uint8, device=model.mean.device)
    return tuple(model.prefix(picture, boundary).shape[1:])
