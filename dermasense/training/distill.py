"""Distillation: a student learns a teacher's softened answers beside the labels."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermasense.errors import DermaSenseError, check_options

# Balances whose samples are the training images themselves: the teacher has an answer for each.
BALANCES = ("none", "sampler", "group_sampler")


class Distillation(nn.Module):
    """w T^2 KL(softmax(t / T) || softmax(s / T)) + (1 - w) CE(s, y).

    Hinton et al. 2015, section 2: t is the teacher, s the student. T^2 keeps the teacher's part of
    the gradient as large as it is at T = 1. The teacher looked at each image once, without
    augmentation, and the student sees an augmented view: it is asked for the same answer whichever
    way the picture is turned.

    Args:
        teacher: (n, C) logits of each training row, in the student's class order.
        temperature: T > 0.
        weight: w, 0 to 1.

    Shape: logits (N, C), target (N,), rows (N,) int64 -> scalar, the mean over N.
    """

    teacher: Tensor

    def __init__(self, teacher: np.ndarray, *, temperature: float, weight: float) -> None:
        super().__init__()
        self.temperature, self.weight = float(temperature), float(weight)
        softened = torch.as_tensor(teacher, dtype=torch.float32) / self.temperature
        # Not stored with a checkpoint: it is computed again, or read, from the teacher.
        self.register_buffer("teacher", softened.log_softmax(1), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy with the labels: what validation reports."""
        return F.cross_entropy(logits.float(), target)

    def of_rows(self, logits: Tensor, target: Tensor, rows: Tensor) -> Tensor:
        """The training loss of a batch of training rows."""
        student = (logits.float() / self.temperature).log_softmax(1)
        taught = F.kl_div(student, self.teacher[rows], reduction="batchmean", log_target=True)
        return self.weight * self.temperature**2 * taught + (1 - self.weight) * self(logits, target)


def check_distillation(options: dict[str, Any], balance: str) -> dict[str, Any]:
    """The options of `loss=distill`, completed.

    Args:
        options: `teacher`, its folder, and those of `Distillation`.
        balance: name of the balance.

    Raises:
        DermaSenseError: an unknown option, a value out of range, no teacher, or a balance that
            makes samples which the teacher has not answered or weighs another loss.
    """
    check_options("loss", options, _completed)
    values = _completed(**options)
    if values["teacher"] is None:
        raise DermaSenseError(
            "loss=distill needs loss.teacher=<folder of a bundle, a finished run or an ensemble>."
        )
    temperature, weight = values["temperature"], values["weight"]
    if not _number(temperature) or not 0 < temperature <= 100:
        raise DermaSenseError(f"loss.temperature={temperature}: expected a number above 0 to 100")
    if not _number(weight) or not 0 <= weight <= 1:
        raise DermaSenseError(f"loss.weight={weight}: expected a number from 0 to 1")
    if balance not in BALANCES:
        raise DermaSenseError(
            f"balance={balance} blends images or weighs another loss, and loss=distill has the "
            f"teacher's answer for each image; use one of {', '.join(BALANCES)}"
        )
    return values


def _completed(
    *, teacher: str | None = None, temperature: float = 4.0, weight: float = 0.7
) -> dict[str, Any]:
    return {"teacher": teacher, "temperature": temperature, "weight": weight}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
