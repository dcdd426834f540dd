"""What "auto" means on this machine: device, precision, loader processes. Resolved here only."""

import torch

from dermasense.errors import DermaSenseError, check_choice, nearest
from dermasense.provenance import usable_cores

STRATEGIES = ("auto", "ddp")
# Precisions that keep weights in float32, and Lightning's other names for them.
PRECISIONS = {
    "32-true": "32-true",
    "32": "32-true",
    "bf16-mixed": "bf16-mixed",
    "bf16": "bf16-mixed",
}


def resolve_device(accelerator: str, devices: int | str) -> str:
    """ "cuda" or "cpu" for Lightning's names; "auto" takes a GPU where there is one.

    Raises:
        DermaSenseError: for GPUs that are not there, or another kind of device.
    """
    count = resolve_processes(devices)
    names = {"auto": "auto", "cpu": "cpu", "gpu": "cuda", "cuda": "cuda"}
    check_choice("trainer.accelerator", accelerator, names)
    device = names[accelerator]
    if device == "cuda" and not torch.cuda.is_available():
        raise DermaSenseError(
            f"trainer.accelerator={accelerator}: there is no GPU here; take trainer=cpu or auto."
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and count > max(1, torch.cuda.device_count()):
        raise DermaSenseError(
            f"trainer.devices={devices}: GPUs here: {torch.cuda.device_count()}; take fewer "
            "devices, or trainer=cpu."
        )
    return device


def resolve_processes(devices: int | str, strategy: str = "auto") -> int:
    """How many processes train one network, each on a device of its own; "auto" is one.

    Raises:
        DermaSenseError: for no count, or another way than DDP to train on several.
    """
    if strategy not in STRATEGIES:
        raise DermaSenseError(
            f"trainer.strategy={strategy} is not supported: several devices train by DDP, each "
            "with the whole network (no FSDP, whose weights are shared out); "
            f"{nearest(strategy, STRATEGIES)}"
        )
    count = "1" if devices == "auto" else str(devices)
    if not count.isdigit() or int(count) < 1:
        raise DermaSenseError(
            f"trainer.devices={devices}: expected auto (one) or the number of devices, >= 1."
        )
    return int(count)


def resolve_precision(precision: str | int, device: str) -> str:
    """Lightning's precision for "auto", else `precision` by its full name.

    bfloat16 only where the processor computes it in hardware: on CPUs that emulate it a training
    step takes 8 to 10 times as long as in float32.

    Args:
        precision: "auto" or one of `PRECISIONS`.
        device: "cuda" or "cpu".

    Raises:
        DermaSenseError: for 16-mixed, whose loss scale a resumed run would not have, and for any
            other than `PRECISIONS`.
    """
    if str(precision) in ("16-mixed", "16"):
        raise DermaSenseError(
            f"trainer.precision={precision} scales the loss by a state of its own, so a resumed "
            "run would differ; take bf16-mixed or 32-true."
        )
    if precision != "auto":
        if str(precision) not in PRECISIONS:
            # Sums of losses, the moving average and cached activations are kept in float32.
            raise DermaSenseError(
                f"trainer.precision={precision} is not supported: training keeps its weights in "
                "float32; take auto, bf16-mixed or 32-true."
            )
        return PRECISIONS[str(precision)]
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = cpu_has_bfloat16()
    return "bf16-mixed" if native else "32-true"


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AMX, or AVX-512 BF16)."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def resolve_workers(num_workers: int | str) -> int:
    """Loader processes for "auto": one a core but for one core, which trains; at most 8.

    Raises:
        DermaSenseError: for anything else that is no count.
    """
    if num_workers != "auto":
        if type(num_workers) is not int or num_workers < 0:
            raise DermaSenseError(f"num_workers={num_workers}: expected auto or an integer >= 0.")
        return num_workers
    return max(0, min(8, usable_cores() - 1))
