"""A bundle whose network is an ONNX file: model.onnx beside model.json, made by the export command.

It answers through the same doors as any bundle, and holds no network to look into or train on.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dermasense.errors import DermaSenseError, first_line
from dermasense.inference.onnx_session import CpuSession, open_session, run_session
from dermasense.models.bundle import (
    CONTRACT,
    DESCRIPTION,
    WEIGHTS,
    WithoutNetwork,
    check_contract,
    check_sha256,
    read_description,
    read_spec,
)

ONNX_FILE, PROGRAM_FILE = "model.onnx", "model.pt2"
INPUT, LOGITS, EMBEDDING = "images", "logits", "embedding"  # names in the graph


@dataclass(frozen=True)
class ExportedBundle(WithoutNetwork):
    """A network in ONNX Runtime, with what a :class:`dermasense.models.bundle.Bundle` tells.

    `place` is the ONNX file.
    """

    REASON = (
        "an exported model holds no network to look into; name the bundle that it was exported from"
    )

    def run(self, name: str, device: str = "cpu") -> Callable[[np.ndarray], np.ndarray]:
        """A function of uint8 batches (n, 3, S, S).

        Args:
            name: "logits", "embeddings", or "both": logits and embeddings side by side.
            device: "cpu"; "cuda" where ONNX Runtime was installed for it.
        """
        outputs = {"logits": [LOGITS], "embeddings": [EMBEDDING], "both": [LOGITS, EMBEDDING]}[name]
        if device == "cpu":
            run = CpuSession(self.place).run
        else:
            run = functools.partial(run_session, _session(self.place, device))

        def of(batch: np.ndarray) -> np.ndarray:
            return np.concatenate(run(batch, outputs), axis=1).astype(np.float32, copy=False)

        return of


def is_exported(folder: Path) -> bool:
    """Whether the folder's model.json describes an exported model."""
    try:
        described = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    except (OSError, ValueError):
        return False  # load_bundle says what is wrong
    return isinstance(described, dict) and described.get("format", "safetensors") != "safetensors"


def load_exported(folder: str | Path) -> ExportedBundle:
    """Read an exported bundle and check all of it: version, sha256, class names, input.

    Raises:
        DermaSenseError: naming the file, what is wrong with it and what to do; also for a saved
            ExportedProgram, whose file may hold pickled code.
    """
    folder = Path(folder)
    description = read_description(folder)
    if description["format"] == "exported_program":
        raise DermaSenseError(
            f"{folder}: {PROGRAM_FILE} may hold pickled code, so it is not opened here; read it "
            f"with torch.export.load where you trust it, or name the {WEIGHTS} bundle or its ONNX "
            "variant"
        )
    if description["format"] != "onnx":
        raise DermaSenseError(
            f"{folder / DESCRIPTION}: format is {description['format']!r}, this DermaSense reads "
            "safetensors and onnx; export the bundle again"
        )
    path = folder / ONNX_FILE
    check_sha256(path, description["sha256"])
    header = _session(path, "cpu").get_modelmeta().custom_metadata_map
    check_contract(path, description, header)
    spec = read_spec(folder, description["input"])
    info = {k: v for k, v in description.items() if k not in CONTRACT}
    names = tuple(description["class_names"])
    return ExportedBundle(path, spec, names, info, description["backbone"])


def _session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise DermaSenseError(
            f"{path}: needs ONNX Runtime: pip install 'dermasense[export]'"
        ) from None
    provider = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise DermaSenseError(
            f"device={device}: this ONNX Runtime has no {provider}; pip install onnxruntime-gpu, "
            "or take device=cpu"
        )
    try:
        return open_session(path, torch.get_num_threads(), provider)
    except Exception as error:  # the runtime raises errors of many types
        raise DermaSenseError(
            f"{path}: not an ONNX model that ONNX Runtime can run ({first_line(error)}); export "
            "the bundle again"
        ) from None
