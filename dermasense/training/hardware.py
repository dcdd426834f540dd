"""What "auto" means on this machine: precision and loader processes. Resolved here only."""

import os

import torch

from dermasense.errors import DermaSenseError


def resolve_precision(precision: str) -> str:
    """Lightning's precision for "auto", else `precision` itself.

    bfloat16 only where the processor computes it in hardware: on CPUs that emulate it a training
    step takes 8 to 10 times as long as in float32.
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if native else "32-true"
    return "bf16-mixed" if cpu_has_bfloat16() else "32-true"


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware (AMX)."""
    return bool(torch.cpu._is_amx_tile_supported())


def resolve_workers(num_workers: int | str) -> int:
    """Loader processes for "auto": none on one core, one on two, else a core each up to 8.

    Raises:
        DermaSenseError: for anything else that is no count.
    """
    if num_workers != "auto":
        if isinstance(num_workers, str) or num_workers < 0:
            raise DermaSenseError(f"num_workers={num_workers}: expected auto or an integer >= 0.")
        return num_workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(0, min(8, (cores or 1) - 1))
