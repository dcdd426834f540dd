"""Does an exported model say what its bundle says, and how fast?"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dermasense.inference.exported import PROGRAM_FILE, ExportedBundle
from dermasense.inference.model import Model, load
from dermasense.inference.prediction import Prediction
from dermasense.inference.predictor import Predictor

_SECONDS = 0.5
_BATCH = 16


def reference(folder: Path, pixels: Sequence[np.ndarray]) -> dict[str, Any]:
    """The bundle itself in float32 torch: what the others are compared with.

    Args:
        folder: of the bundle.
        pixels: (S, S, 3) uint8 pictures, at least one.

    Returns:
        `row`, its row of the table, and `model` and `said` for :func:`compared`.
    """
    model = load(folder, engine="torch", batch_size=_BATCH)
    said = model.judge(pixels)
    row = _row("bundle (torch)", model, folder / "model.safetensors", said, said, pixels)
    return {"row": row, "model": model, "said": said}


def compared(folder: Path, pixels: Sequence[np.ndarray], known: dict[str, Any]) -> dict[str, Any]:
    """One exported model's row: how much of what it says differs, its size and speed.

    Args:
        folder: of the exported bundle.
        pixels: as of the reference.
        known: of :func:`reference`.
    """
    program = folder / PROGRAM_FILE
    if program.is_file():
        model, file = _with_program(known["model"], program), program
    else:
        model, file = load(folder, batch_size=_BATCH), folder / "model.onnx"
    return _row(folder.name, model, file, known["said"], model.judge(pixels), pixels)


def _row(
    name: str,
    model: Model,
    file: Path,
    ours: Sequence[Prediction],
    theirs: Sequence[Prediction],
    pixels: Sequence[np.ndarray],
) -> dict[str, Any]:
    p, q = (np.array([[*each.probabilities.values()] for each in said]) for said in (ours, theirs))
    return {
        "name": name,
        "n": len(pixels),
        "max_probability_difference": float(np.abs(p - q).max()),
        "changed_answers": _changed(ours, theirs, lambda said: said.answer),
        "changed_sets": _changed(ours, theirs, lambda said: set(said.prediction_set or ())),
        "changed_decisions": _changed(ours, theirs, lambda said: said.decision),
        "changed_warnings": _changed(ours, theirs, _kinds),
        "megabytes": round(file.stat().st_size / 1e6, 3),
        **_speeds(model.predictor.logits, pixels),
    }


def _changed(
    ours: Sequence[Prediction], theirs: Sequence[Prediction], part: Callable[[Prediction], Any]
) -> int:
    """Of how many pictures a part of what is said differs."""
    return sum(part(one) != part(other) for one, other in zip(ours, theirs, strict=True))


def _kinds(said: Prediction) -> list[str]:
    """The warnings without their numbers: another distance is no other warning."""
    return [re.sub(r"[\d.]+", "", words) for words in said.warnings]


class _Program(ExportedBundle):
    """An ExportedProgram that this process has just written itself."""

    @cached_property
    def _module(self) -> Any:
        return torch.export.load(self.place).module()

    def run(self, name: str, device: str = "cpu") -> Callable[[np.ndarray], np.ndarray]:
        """As that of its base, on the CPU."""
        parts = {"logits": slice(1), "embeddings": slice(1, 2), "both": slice(2)}[name]

        @torch.inference_mode()
        def of(batch: np.ndarray) -> np.ndarray:
            return torch.cat(self._module(torch.from_numpy(batch))[parts], 1).numpy()

        return of


def _with_program(model: Model, path: Path) -> Model:
    """The same decisions on what an ExportedProgram computes."""
    known = model.predictor
    told = known.bundle.info, known.bundle.backbone
    program = _Program(path, known.spec, known.class_names, *told)
    options = {"views": known.views, "average": known.average, "batch_size": _BATCH}
    return replace(model, predictor=Predictor(program, **options))


def _speeds(run: Callable[[Sequence[np.ndarray]], np.ndarray], pixels) -> dict[str, float]:
    """Images per second in batches of 16 and one by one, the better of repeated passes."""
    found = {}
    for size in (_BATCH, 1):
        batch = [pixels[n % len(pixels)] for n in range(size)]
        run(batch)
        best, end = float("inf"), time.perf_counter() + _SECONDS
        while time.perf_counter() < end:
            begun = time.perf_counter()
            run(batch)
            best = min(best, time.perf_counter() - begun)
        found[f"images_per_second_{size}"] = round(size / best, 1)
    return found
