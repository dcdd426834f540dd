"""ONNX Runtime on a CPU: a large batch in pieces, side by side, each on one core.

Threads that share a piece wait for each other in every layer, and a large piece does not fit into a
core's cache: pieces of one 224-pixel picture on a thread each took half to three quarters of the
processor time of whole batches on two threads. What comes out is the same, bit for bit.
"""

import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

PIECE = 3 * 256 * 256  # values of input, about one picture's at 224 pixels


class CpuSession:
    """A graph of one input whose samples do not see each other; opened when it is first run.

    Args:
        graph: path or content of an ONNX file.
        threads: cores to take; default those of torch.
    """

    def __init__(self, graph: str | Path | bytes, threads: int | None = None) -> None:
        self.threads = threads or torch.get_num_threads()
        self._graph = graph
        self._workers = ThreadPoolExecutor(self.threads, thread_name_prefix="onnx")

    def run(self, batch: np.ndarray, outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        """Outputs (n, ...) of a batch (n, ...).

        Args:
            batch: of the type and shape that the graph takes.
            outputs: names; default all.
        """
        n = len(batch)
        size = piece_size(n, math.prod(batch.shape[1:]), self.threads)
        if size >= n:
            return run_session(self._whole, batch, outputs)
        pieces = [batch[first : first + size] for first in range(0, n, size)]
        run = functools.partial(run_session, self._piece, outputs=outputs)
        found = map(run, pieces) if self.threads == 1 else self._workers.map(run, pieces)
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    @functools.cached_property
    def _whole(self) -> Any:
        return open_session(self._graph, self.threads, spinning=True)

    @functools.cached_property
    def _piece(self) -> Any:
        return self._whole if self.threads == 1 else open_session(self._graph, 1)


def piece_size(n: int, values: int, threads: int) -> int:
    """Samples a piece: all of them where they are few or small.

    Args:
        n: samples in the batch.
        values: of input a sample.
        threads: cores to take.
    """
    if n < threads or n * values <= PIECE:
        return n
    return max(1, min(PIECE // values, math.ceil(n / threads)))


def open_session(
    graph: str | Path | bytes,
    threads: int,
    provider: str = "CPUExecutionProvider",
    spinning: bool = False,
) -> Any:
    """An `onnxruntime.InferenceSession`; the runtime raises errors of many types.

    Args:
        graph: path or content of an ONNX file.
        threads: that share each layer.
        provider: of the runtime.
        spinning: threads that wait for the next layer keep their core: a tenth faster for one
            picture, but slower for all where others decode at the same time.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    graph = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(graph, options, providers=[provider])


def run_session(
    session: Any, batch: np.ndarray, outputs: Sequence[str] | None = None
) -> list[np.ndarray]:
    """Outputs of a whole batch, as :meth:`CpuSession.run` gives them."""
    name = session.get_inputs()[0].name
    return session.run(outputs, {name: np.ascontiguousarray(batch)})
