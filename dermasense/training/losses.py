"""Losses: logits (N, C) and class indices (N,) or soft targets (N, C) -> the mean over N."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermasense.errors import DermaSenseError, nearest
from dermasense.training.class_weights import class_weights


class FocalLoss(nn.Module):
    """Focal loss, FL = -sum_c t_c alpha_c (1 - p_c)^gamma log p_c (Lin et al. 2017, eq. 5).

    With class indices that is -alpha_y (1 - p_y)^gamma log p_y for the true class y; with soft
    targets or label smoothing it is the sum, as in Keras' CategoricalFocalCrossentropy. Alpha
    multiplies outside: it never enters p. Computed in float32 from log p, and finite for any
    finite logits.

    Args:
        gamma: focusing strength, >= 0; 0 gives cross-entropy times alpha.
        alpha: one factor for all classes, or one per class, shape (C,).
        label_smoothing: share of the target spread over all classes, in [0, 1).

    Shape: logits (N, C), target (N,) int64 or (N, C) float -> scalar, the mean over N.
    """

    alpha: Tensor

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor = 0.25,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.gamma = float(gamma)
        self.label_smoothing = float(label_smoothing)
        # A buffer, so that it moves with the module; not stored, since the config makes it again.
        self.register_buffer("alpha", torch.as_tensor(alpha, dtype=torch.float32), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        log_p = F.log_softmax(logits.float(), dim=1)
        if target.ndim == 2 or self.label_smoothing:
            soft = smooth(target, log_p.shape[1], self.label_smoothing)
            return (soft * self.alpha * self._focus(log_p) * -log_p).sum(dim=1).mean()
        log_p = log_p.gather(1, target[:, None]).squeeze(1)
        alpha = self.alpha[target] if self.alpha.ndim else self.alpha
        return (alpha * self._focus(log_p) * -log_p).mean()

    def _focus(self, log_p: Tensor) -> Tensor:
        """(1 - p)^gamma. The least float keeps its gradient finite where p is 1 and gamma < 1."""
        if self.gamma == 0:
            return torch.ones_like(log_p)
        return (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny) ** self.gamma


class CrossEntropy(nn.Module):
    """Cross-entropy, -sum_c w_c t_c log p_c, where t is smoothed first.

    The mean is over N, as Keras' class_weight does it, not over the weights of the batch, as
    torch's own: so batches of any size add up to the loss of the whole, and a batch that happens to
    hold rare classes alone counts for what it is.

    Args:
        weights: one factor per class, shape (C,), or None.
        label_smoothing: share of the target spread over all classes, in [0, 1).

    Shape: logits (N, C), target (N,) int64 or (N, C) float -> scalar, the mean over N.
    """

    weights: Tensor | None

    def __init__(
        self, weights: Sequence[float] | Tensor | None = None, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.label_smoothing = float(label_smoothing)
        tensor = None if weights is None else torch.as_tensor(weights, dtype=torch.float32)
        self.register_buffer("weights", tensor, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        losses = F.cross_entropy(
            logits.float(),
            target,
            weight=self.weights,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        return losses.mean()


def smooth(target: Tensor, num_classes: int, label_smoothing: float) -> Tensor:
    """Soft targets (N, C) float32: (1 - e) t + e / C (Szegedy et al. 2016, section 7)."""
    soft = target.float() if target.ndim == 2 else F.one_hot(target, num_classes).float()
    return soft * (1 - label_smoothing) + label_smoothing / num_classes


_OPTIONS = {
    "focal": {"gamma": 2.0, "alpha": 0.25, "label_smoothing": 0.0},
    "ce": {"label_smoothing": 0.0},
    "weighted_ce": {"weighting": "balanced", "beta": 0.9999, "label_smoothing": 0.0},
}


# The last two are built elsewhere: they ask for more than counts.
LOSSES = (*_OPTIONS, "group_dro", "distill")


def build_loss(
    name: str,
    *,
    class_counts: Sequence[int] | np.ndarray,
    balance: str = "none",
    class_names: Sequence[str] | None = None,
    **options: Any,
) -> nn.Module:
    """Builds the loss of a training run.

    Args:
        name: `focal` (gamma, alpha, label_smoothing), `ce` (label_smoothing) or `weighted_ce`
            (weighting, beta, label_smoothing).
        class_counts: (C,) training images of each class.
        balance: `class_weights` gives `ce` the weights N / (C n_c), and leaves `weighted_ce` its
            own (they count once); `focal_alpha` replaces the one alpha of `focal` by
            alpha_c = N / (C n_c), whose mean over the training images is 1.
        class_names: for messages.
        **options: of the loss.

    Raises:
        DermaSenseError: for unknown names, values out of range, and a balance that does not go
            with the loss.
    """
    if name not in _OPTIONS:
        raise DermaSenseError(f"loss.name={name} is not known; {nearest(name, LOSSES)}")
    for option in options:
        if option not in _OPTIONS[name]:
            raise DermaSenseError(
                f"loss {name} has no option '{option}'; {nearest(option, _OPTIONS[name])}"
            )
    values = _OPTIONS[name] | options
    smoothing = _number("label_smoothing", values["label_smoothing"])
    if not 0 <= smoothing < 1:
        raise DermaSenseError(f"loss.label_smoothing={smoothing} must be in [0, 1)")
    if balance == "class_weights" and name == "focal":
        raise DermaSenseError(
            "balance=class_weights goes with cross-entropy; with loss=focal use "
            "balance=focal_alpha, or take loss=ce"
        )
    if balance == "focal_alpha" and name != "focal":
        raise DermaSenseError(
            f"balance=focal_alpha goes with loss=focal; with loss={name} use balance=class_weights"
        )
    if name == "focal":
        alpha = _focal_alpha(values["alpha"], class_counts, balance, class_names)
        gamma = _number("gamma", values["gamma"])
        if gamma < 0:
            raise DermaSenseError(f"loss.gamma={gamma} must be 0 or more")
        return FocalLoss(gamma, alpha, smoothing)
    weights = None
    if name == "weighted_ce":
        weights = class_weights(
            class_counts,
            values["weighting"],
            beta=_number("beta", values["beta"]),
            class_names=class_names,
        )
    elif balance == "class_weights":
        weights = class_weights(class_counts, class_names=class_names)
    return CrossEntropy(weights, smoothing)


def _focal_alpha(
    alpha: Any,
    counts: Sequence[int] | np.ndarray,
    balance: str,
    class_names: Sequence[str] | None,
) -> np.ndarray | float:
    one_each = isinstance(alpha, (Sequence, np.ndarray)) and not isinstance(alpha, str)
    if not one_each:
        values = np.array(_number("alpha", alpha))
    else:
        values = np.array([_number("alpha", a) for a in alpha])
    if (values <= 0).any():
        raise DermaSenseError(f"loss.alpha={alpha} must be above 0")
    if one_each and len(values) != len(counts):
        raise DermaSenseError(
            f"loss.alpha has {len(values)} values for {len(counts)} classes; give one a class, in "
            "the order of the class names, or one for all"
        )
    if balance != "focal_alpha":
        return values
    if one_each:
        raise DermaSenseError(
            "balance=focal_alpha computes the alpha of each class, and loss.alpha gives them too; "
            "use balance=none or give loss.alpha one value"
        )
    return class_weights(counts, class_names=class_names)


def _number(option: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise DermaSenseError(f"loss.{option}={value} must be a number")
    if not np.isfinite(value):
        raise DermaSenseError(f"loss.{option}={value} must be finite")
    return float(value)
