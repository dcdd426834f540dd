"""Logit adjustment: the prior of the training split is added to the logits, in the loss alone."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dermasense.data.balance import check_present
from dermasense.errors import DermaSenseError


class LogitAdjusted(nn.Module):
    """A loss on logits + tau * log prior (Menon et al. 2021, eq. 10, "logit adjusted loss").

    The network then learns to answer without the prior: its own logits, read as ever, aim at
    balanced accuracy where tau is 1. Nothing is added at inference.

    Args:
        loss: maps logits (N, C) and targets to a scalar.
        prior: (C,) share of each class in the training split, each above 0.
        tau: strength, >= 0; 0 is the loss itself.

    Shape: logits (N, C), target (N,) int64 or (N, C) float -> scalar.
    """

    shift: Tensor

    def __init__(self, loss: nn.Module, prior: np.ndarray, tau: float = 1.0) -> None:
        super().__init__()
        self.loss = loss
        shift = torch.as_tensor(tau * np.log(prior), dtype=torch.float32)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.loss(logits.float() + self.shift, target)


def adjust_logits(
    loss: nn.Module,
    class_counts: Sequence[int] | np.ndarray,
    tau: float = 1.0,
    class_names: Sequence[str] | None = None,
) -> LogitAdjusted:
    """The loss of balance=logit_adjust.

    Args:
        loss: what it adjusts.
        class_counts: (C,) training images of each class.
        tau: strength.
        class_names: for messages.

    Raises:
        DermaSenseError: a class without images, or a tau that is no good.
    """
    number = isinstance(tau, int | float) and not isinstance(tau, bool)
    if not number or not 0 <= tau < np.inf:
        raise DermaSenseError(f"balance.tau={tau}: expected a number >= 0")
    counts = np.asarray(class_counts, dtype=float)
    check_present(counts, class_names, "balance=logit_adjust")
    return LogitAdjusted(loss, counts / counts.sum(), tau)
