"""Does an exported model answer as its bundle does, and how fast?"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dermasense.inference.exported import PROGRAM_FILE
from dermasense.inference.model import Model, load

_SECONDS = 0.5
_BATCH = 16


def reference(folder: Path, pixels: Sequence[np.ndarray]) -> dict[str, Any]:
    """The bundle itself in float32 torch: what the others are compared with.

    Args:
        folder: of the bundle.
        pixels: (S, S, 3) uint8 pictures, at least one.

    Returns:
        `row`, its row of the table, and `model` and `logits` for :func:`compared`.
    """
    model = load(folder, engine="torch", batch_size=_BATCH)
    logits = model.predictor.logits(pixels)
    size = (folder / "model.safetensors").stat().st_size
    row = {
        "name": "bundle (torch)",
        "n": len(pixels),
        "max_probability_difference": 0.0,
        "changed_answers": 0,
        "megabytes": round(size / 1e6, 3),
        **_speeds(model.predictor.logits, pixels),
    }
    return {"row": row, "model": model, "logits": logits}


def compared(folder: Path, pixels: Sequence[np.ndarray], known: dict[str, Any]) -> dict[str, Any]:
    """One exported model's row: largest difference of a probability, changed answers, speed.

    Args:
        folder: of the exported bundle.
        pixels: as of the reference.
        known: of :func:`reference`.
    """
    model: Model = known["model"]
    program = folder / PROGRAM_FILE
    if program.is_file():
        run, file = _program(program), program
    else:
        run, file = load(folder, batch_size=_BATCH).predictor.logits, folder / "model.onnx"
    ours, theirs = (model.decision.probabilities(each) for each in (known["logits"], run(pixels)))
    return {
        "name": folder.name,
        "n": len(pixels),
        "max_probability_difference": float(np.abs(ours - theirs).max()),
        "changed_answers": int((ours.argmax(1) != theirs.argmax(1)).sum()),
        "megabytes": round(file.stat().st_size / 1e6, 3),
        **_speeds(run, pixels),
    }


def _program(path: Path) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """Runs an ExportedProgram that this process has just written itself."""
    module = torch.export.load(path).module()

    @torch.inference_mode()
    def run(pixels: Sequence[np.ndarray]) -> np.ndarray:
        parts = []
        for first in range(0, len(pixels), _BATCH):
            batch = np.stack(pixels[first : first + _BATCH]).transpose(0, 3, 1, 2)
            parts.append(module(torch.from_numpy(np.ascontiguousarray(batch)))[0].numpy())
        return np.concatenate(parts)

    return run


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
