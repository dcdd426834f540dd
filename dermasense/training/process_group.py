"""What the processes that train one network say to each other; with one process, nothing."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only as fabric_rank
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch import distributed as dist

from dermasense.data.shard import Shard
from dermasense.errors import DermaSenseError

# Objects travel through the CPU, gradients of a GPU between GPUs.
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}


@contextlib.contextmanager
def joined(store: dist.Store, shard: Shard, device: str, timeout: float) -> Iterator[None]:
    """Makes this process one of a group while the block runs.

    Args:
        store: where the processes find each other.
        shard: which of them this is.
        device: "cpu", where they share the cores, or "cuda", where each has a GPU of its own.
        timeout: seconds that a process waits for another before it gives up.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // shard.world))
    if device == "cuda":
        torch.cuda.set_device(shard.rank)
    dist.init_process_group(
        BACKENDS[device],
        store=store,
        rank=shard.rank,
        world_size=shard.world,
        timeout=timedelta(seconds=timeout),
    )
    try:
        yield
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(threads)
        rank_zero_only.rank = fabric_rank.rank = 0  # Lightning's, which outlives its Trainer


def rank() -> int:
    """Which process this is; 0 where it is alone."""
    return dist.get_rank() if _several() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _several() else 1


def barrier() -> None:
    """Waits until every process is here."""
    if _several():
        dist.barrier()


def all_sum(value: Tensor) -> Tensor:
    """The sum over processes of a tensor that has one shape in all; `value` itself where alone."""
    if not _several():
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total


def from_first(value: Any) -> Any:
    """What process 0 has, in every process."""
    if not _several():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gathered(value: Any) -> list | None:
    """What each process has, in the order of processes, in process 0; None in the others."""
    if not _several():
        return [value]
    every = [None] * world() if rank() == 0 else None
    dist.gather_object(value, every)
    return every


def gathered_by_id(
    ids: Sequence[str], values: np.ndarray, wanted: Sequence[str]
) -> np.ndarray | None:
    """The rows of all processes, one an image.

    Args:
        ids: image_id of each row of `values`.
        values: (n, ...) of this process.
        wanted: image_id of every row that is to come out, in order.

    Returns:
        (len(wanted), ...) in process 0, None in the others.

    Raises:
        DermaSenseError: where an image came twice or not at all.
    """
    parts = gathered((list(ids), values))
    if parts is None:
        return None
    place = {name: row for row, name in enumerate(name for part in parts for name in part[0])}
    rows = np.concatenate([part[1] for part in parts])
    if len(place) != len(rows) or place.keys() != set(wanted):
        odd = sorted(place.keys() ^ set(wanted))[:1] or ["one"]
        raise DermaSenseError(
            f"{len(rows)} predictions of {len(parts)} processes for {len(wanted)} images: {odd[0]} "
            "came twice or not at all. This is a fault of the program."
        )
    return rows[[place[name] for name in wanted]]


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
