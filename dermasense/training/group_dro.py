"""Group DRO: the training loss of the group that is served worst counts most."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermasense.data.group_sampling import training_groups
from dermasense.errors import DermaSenseError, check_options
from dermasense.training.process_group import all_sum, world

# Balances whose samples are the training images themselves, so that each has one group, and that
# leave the loss alone. Of one from outside neither is known.
BALANCES = ("none", "sampler", "group_sampler")


class GroupDRO(nn.Module):
    """Online group DRO (Sagawa et al. 2020, algorithm 1): q_g <- q_g exp(step * L_g), normalised.

    L_g is the mean cross-entropy of group g in the batch, plus adjustment / sqrt(n_g) (their
    section 3.3); the loss is sum_g q_g L_g. A group that is not in the batch keeps its q. Images
    without a group have their mean cross-entropy, in proportion to their share of the batch: they
    are trained on, and never weighed as a group.

    q is a buffer that is saved with the checkpoint, so that a resumed run is the same run; it
    begins anew with each phase. Group DRO without strong weight decay or early stopping is known
    to gain little (their section 3.1): a network that fits all groups has no worst one.

    Args:
        groups: (n,) group of each training row, -1 where missing.
        step: of the exponentiated gradient, > 0.
        adjustment: C >= 0, lifts the loss of small groups.
        label_smoothing: share of the target spread over all classes, in [0, 1).

    Shape: logits (N, C), target (N,) or (N, C), rows (N,) int64 -> scalar.
    """

    groups: Tensor
    q: Tensor
    lift: Tensor

    def __init__(
        self,
        groups: np.ndarray,
        *,
        step: float,
        adjustment: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = np.bincount(groups[groups >= 0])
        self.step, self.label_smoothing = float(step), float(label_smoothing)
        self.register_buffer("groups", torch.as_tensor(groups), persistent=False)
        lift = torch.as_tensor(adjustment / np.sqrt(np.maximum(sizes, 1)), dtype=torch.float32)
        self.register_buffer("lift", lift, persistent=False)
        self.register_buffer("q", torch.full((len(sizes),), 1 / len(sizes)))

    def begin_phase(self) -> None:
        """All groups count alike again."""
        self.q.fill_(1 / len(self.q))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy: what validation reports."""
        return self._each(logits, target).mean()

    def of_rows(self, logits: Tensor, target: Tensor, rows: Tensor) -> Tensor:
        """The training loss of a batch of training rows; moves q.

        Where several processes train together the groups are those of their whole batch, and the
        mean of what they return, each weighed by its number of rows, is the loss.
        """
        losses, group = self._each(logits, target), self.groups[rows]
        known = group >= 0
        counts = torch.zeros_like(self.q).index_add(0, group[known], losses.new_ones(known.sum()))
        sums = torch.zeros_like(self.q).index_add(0, group[known], losses[known])
        if world() > 1:
            return self._together(losses, counts, sums, losses[~known].sum())
        present = counts > 0
        mean = torch.where(present, sums / counts.clamp(min=1) + self.lift, 0.0)
        self._move(mean)
        unknown = losses[~known].sum() / len(losses)
        return (self.q.clone() * mean).sum() * known.float().mean() + unknown

    def _together(self, losses: Tensor, counts: Tensor, sums: Tensor, unknown: Tensor) -> Tensor:
        """`of_rows` for one of several processes: sums of its own, counts of all."""
        own = torch.cat([counts, sums.detach(), losses.new_tensor([len(losses)])])
        every, all_sums, total = all_sum(own).split([len(counts), len(counts), 1])
        present = every > 0
        self._move(torch.where(present, all_sums / every.clamp(min=1) + self.lift, 0.0))
        share = torch.where(present, (sums + self.lift * counts) / every.clamp(min=1), 0.0)
        known = every.sum() / total
        weighed = (self.q.clone() * share).sum() * known * total / len(losses)
        return (weighed + unknown / len(losses)).squeeze()

    @torch.no_grad()
    def _move(self, mean: Tensor) -> None:
        q = self.q * torch.exp(self.step * mean.detach())
        self.q.copy_(q / q.sum())

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        smoothing = self.label_smoothing
        return F.cross_entropy(logits.float(), target, label_smoothing=smoothing, reduction="none")


def build_group_dro(options: dict[str, Any], frame, balance: str) -> GroupDRO:
    """The loss of `loss=group_dro`.

    Args:
        options: `attribute` of the groups, and those of `GroupDRO`.
        frame: catalog rows of the training split, with the attribute.
        balance: name of the balance.

    Raises:
        DermaSenseError: an unknown option, a value out of range, an attribute that the data lacks,
            or a balance that is none of `BALANCES`.
    """
    check_options("loss", options, _group_dro)
    if balance not in BALANCES:
        raise DermaSenseError(
            f"balance={balance} may blend images of two groups or weigh another loss, and "
            "loss=group_dro needs one group for each image and its own loss; use one of "
            f"{', '.join(BALANCES)}"
        )
    return _group_dro(frame, **options)


def _group_dro(
    frame,
    *,
    attribute: str = "skin_type",
    step: float = 0.01,
    adjustment: float = 0.0,
    label_smoothing: float = 0.0,
) -> GroupDRO:
    _check("step", step, 0.0, 1.0, open_below=True)
    _check("adjustment", adjustment, 0.0, 1e3)
    _check("label_smoothing", label_smoothing, 0.0, 0.999)
    groups = training_groups(frame, attribute, "loss")
    return GroupDRO(groups, step=step, adjustment=adjustment, label_smoothing=label_smoothing)


def _check(option: str, value: Any, low: float, high: float, open_below: bool = False) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or (open_below and value == low):
        above = "above" if open_below else "from"
        raise DermaSenseError(
            f"loss.{option}={value}: expected a number {above} {low:g} to {high:g}"
        )
