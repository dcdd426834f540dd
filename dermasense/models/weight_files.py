"""Files of weights: reading them without unpickling code, and naming them by their content."""

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from dermasense.errors import DermaSenseError, first_line


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over names and bytes of all weights and buffers; equal weights give equal text."""
    digest = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Named tensors of a .safetensors, .pth or .pt file, without unpickling any code.

    Raises:
        DermaSenseError: for another suffix, a damaged file, or one that holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        kind = "a PyTorch file under another name" if _is_torch_file(path) else "damaged"
        raise DermaSenseError(
            f"{path}: not a safetensors file ({kind}: {error}); give the file its true suffix or "
            "fetch it again"
        ) from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DermaSenseError(
            f"{path}: cannot be read as plain weights ({first_line(error)}); save a state dict of "
            "tensors, best as .safetensors"
        ) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    tensors = isinstance(state, Mapping) and all(torch.is_tensor(t) for t in state.values())
    if not tensors or not state:
        raise DermaSenseError(f"{path}: holds no state dict of named tensors; save one")
    return {str(key): tensor for key, tensor in state.items()}


def header(path: Path) -> dict[str, str]:
    """The words in the header of a whole .safetensors file; {} of a file of another kind."""
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, "pt") as file:
        return file.metadata() or {}


def _is_torch_file(path: Path) -> bool:
    with open(path, "rb") as file:
        return zipfile.is_zipfile(path) or file.read(1) == b"\x80"
