"""`trainer.compile=true`: what trains runs as code that torch.compile wrote for it."""

import logging
import time
from collections.abc import Callable

import torch

from dermasense.errors import DermaSenseError, first_line

log = logging.getLogger(__name__)
Forward = Callable[[torch.Tensor, str], torch.Tensor]


class Compiled:
    """A forward pass that is compiled when it is first called, and says what that took.

    Its first step, and one more for a batch of another size, take one to three minutes on a CPU and
    less on a GPU; what is written is kept in torch's cache for the next run. It pays on a GPU; on
    two cores a step took as long as before.

    Args:
        forward: activations and the name of their boundary to logits, in training mode.
    """

    def __init__(self, forward: Forward) -> None:
        self._run = torch.compile(forward)
        self._first = True

    def __call__(self, x: torch.Tensor, boundary: str) -> torch.Tensor:
        """Logits, as of `forward`.

        Raises:
            DermaSenseError: where this machine cannot compile the network.
            torch.OutOfMemoryError: where the GPU is too small for a step, as without compiling.
        """
        if not self._first:
            return self._run(x, boundary)
        log.info("Compiling what trains; the first step takes up to some minutes.")
        start = time.monotonic()
        try:
            logits = self._run(x, boundary)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # the compiler raises errors of many types
            raise DermaSenseError(
                f"trainer.compile=true: this machine cannot compile the network "
                f"({first_line(error)}); leave the option out, or install a C++ compiler."
            ) from error
        log.info("Compiled in %.0f s.", time.monotonic() - start)
        self._first = False
        return logits
