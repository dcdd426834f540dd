"""The fastest way that this machine has to run a network that does not train.

On a CPU that is ONNX Runtime, 3 to 5 times as fast as eager torch, where it is installed; else
torch in channels-last memory. On a GPU it is torch, in half precision where the caller allows it.
"""

import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from dermasense.errors import DermaSenseError, check_choice, first_line
from dermasense.inference.onnx_session import CpuSession

ENGINES = ("auto", "onnx", "torch")
TOLERANCE, HALF_TOLERANCE = 1e-4, 5e-3  # of the largest value of the outputs, where that exceeds 1
COMPARED = 8  # samples; eager torch would take seconds for a batch of 64 pictures
Run = Callable[[np.ndarray], np.ndarray]
log = logging.getLogger(__name__)


def resolve_engine(name: str, device: str = "cpu") -> str:
    """ "onnx" or "torch" for "auto", else `name` itself.

    Raises:
        DermaSenseError: for an unknown name, or ONNX Runtime where it is not installed.
    """
    check_choice("engine", name, ENGINES)
    installed = all(importlib.util.find_spec(n) for n in ("onnx", "onnxruntime"))
    if name == "onnx" and not installed:
        raise DermaSenseError(
            "engine=onnx needs ONNX Runtime: pip install 'dermasense[export]', or take engine=torch"
        )
    if name == "auto":
        return "onnx" if installed and device == "cpu" else "torch"
    return name


def check_device(device: str) -> None:
    """Refuses a device that torch does not know, or that this machine lacks.

    Raises:
        DermaSenseError: naming it.
    """
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError):
        kind = ""
    if kind not in ("cpu", "cuda", "mps"):
        raise DermaSenseError(f"device={device} is unknown; say cpu, cuda, cuda:1 or mps.")
    there = {"cpu": True, "mps": torch.backends.mps.is_available()}
    number = torch.device(device).index or 0
    if not there.get(kind, number < torch.cuda.device_count()):
        raise DermaSenseError(f"device={device}: this machine has none; take device=cpu.")


def build_engine(
    module: nn.Module,
    example: np.ndarray,
    *,
    name: str = "auto",
    device: str = "cpu",
    half: bool = False,
) -> Run:
    """What computes `module` in evaluation mode on whole batches.

    The engine holds weights of its own: `module` is left as it is and may go on training. What it
    gives for the first samples of `example` is compared with the module in float32; where it
    differs, eager float32 torch takes its place, with a warning.

    Args:
        module: maps one tensor to one tensor, sample by sample (as a network in evaluation mode).
        example: a batch of its input, of at least one sample: uint8 pictures (n, 3, S, S), or
            activations.
        name: "auto", "onnx" or "torch".
        device: where torch computes; ONNX Runtime stays on the CPU.
        half: half precision is good enough; taken on a GPU only.

    Returns:
        A function of a batch of any size, of the shape and type of `example`, to float32 outputs.

    Raises:
        DermaSenseError: for an unknown name, or ONNX Runtime where it is not installed.
    """
    module = copy.deepcopy(module).eval().requires_grad_(False)
    engine = resolve_engine(name, device)
    device = "cpu" if engine == "onnx" else device
    half = half and engine == "torch" and device.startswith("cuda")
    plain = _torch_run(module, device)
    if engine == "torch" and not half:
        return plain
    try:
        copied = copy.deepcopy(module)
        run = _torch_run(copied, device, half) if half else _onnx_run(copied, example)
        got, expected = run(example[:COMPARED]), plain(example[:COMPARED])
    except Exception as error:  # the exporter and the runtime raise errors of many types
        log.warning("%s cannot run this network (%s); taking torch.", engine, first_line(error))
        return plain
    allowed = (HALF_TOLERANCE if half else TOLERANCE) * max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(got - expected).max())
    if not difference <= allowed:
        kind = "half precision" if half else "ONNX Runtime"
        log.warning("%s differs from torch by %.2g; taking torch in float32.", kind, difference)
        return plain
    return run


def _torch_run(module: nn.Module, device: str, half: bool = False) -> Run:
    module = module.to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(batch: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(batch)).to(device)
        with torch.autocast("cuda", torch.float16, enabled=half):
            return module(x).float().cpu().numpy()

    return run


def _onnx_run(module: nn.Module, example: np.ndarray) -> Run:
    session = CpuSession(_exported(module, example))
    return lambda batch: session.run(batch)[0]


def _exported(module: nn.Module, example: np.ndarray) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The TorchScript exporter takes one second where its successor takes twenty.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.from_numpy(np.ascontiguousarray(example[:1])),),
            file,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            dynamo=False,
        )
    return file.getvalue()
