"""Losses: logits (N, C) and class indices (N,) or soft targets (N, C) -> the mean over N."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermasense.errors import DermaSenseError, check_options, nearest
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


def build_loss(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    class_counts: Sequence[int] | np.ndarray,
    balance: str = "none",
    class_names: Sequence[str] | None = None,
) -> nn.Module:
    """Builds the loss of a training run.

    Args:
        name: `focal` (gamma, alpha, label_smoothing), `ce` (label_smoothing) or `weighted_ce`
            (weighting, beta, label_smoothing).
        options: of the loss, by name.
        class_counts: (C,) training images of each class.
        balance: `class_weights` gives `ce` the weights N / (C n_c), and leaves `weighted_ce` its
            own (they count once); `focal_alpha` replaces the one alpha of `focal` by
            alpha_c = N / (C n_c), whose mean over the training images is 1.
        class_names: for messages.

    Raises:
        DermaSenseError: for unknown names, values out of range, and a balance that does not go
            with the loss.
    """
    if name not in _BUILDERS:
        raise DermaSenseError(f"loss.name={name} is not known; {nearest(name, LOSSES)}")
    options = options or {}
    check_options("loss", options, _BUILDERS[name])
    if balance == "class_weights" and name == "focal":
        raise DermaSenseError(
            "balance=class_weights goes with cross-entropy; with loss=focal use "
            "balance=focal_alpha, or take loss=ce"
        )
    if balance == "focal_alpha" and name != "focal":
        raise DermaSenseError(
            f"balance=focal_alpha goes with loss=focal; with loss={name} use balance=class_weights"
        )
    return _BUILDERS[name](_Facts(class_counts, balance, class_names), **options)


@dataclass(frozen=True)
class _Facts:
    """What a loss is built on beside its options; see `build_loss`."""

    counts: Sequence[int] | np.ndarray
    balance: str
    class_names: Sequence[str] | None


def _focal(
    facts: _Facts, *, gamma: Any = 2.0, alpha: Any = 0.25, label_smoothing: Any = 0.0
) -> FocalLoss:
    smoothing = _smoothing(label_smoothing)
    alpha, gamma = _focal_alpha(alpha, facts), _number("gamma", gamma)
    if gamma < 0:
        raise DermaSenseError(f"loss.gamma={gamma} must be 0 or more")
    return FocalLoss(gamma, alpha, smoothing)


def _ce(facts: _Facts, *, label_smoothing: Any = 0.0) -> CrossEntropy:
    weighed = facts.balance == "class_weights"
    weights = class_weights(facts.counts, class_names=facts.class_names) if weighed else None
    return CrossEntropy(weights, _smoothing(label_smoothing))


def _weighted_ce(
    facts: _Facts,
    *,
    weighting: Any = "balanced",
    beta: Any = 0.9999,
    label_smoothing: Any = 0.0,
) -> CrossEntropy:
    beta = _number("beta", beta)
    weights = class_weights(facts.counts, weighting, beta=beta, class_names=facts.class_names)
    return CrossEntropy(weights, _smoothing(label_smoothing))


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "focal": _focal,
    "ce": _ce,
    "weighted_ce": _weighted_ce,
}
# The last two are built elsewhere: they ask for more than counts.
LOSSES = (*_BUILDERS, "group_dro", "distill")


def _focal_alpha(alpha: Any, facts: _Facts) -> np.ndarray | float:
    one_each = isinstance(alpha, (Sequence, np.ndarray)) and not isinstance(alpha, str)
    if not one_each:
        values = np.array(_number("alpha", alpha))
    else:
        values = np.array([_number("alpha", a) for a in alpha])
    if (values <= 0).any():
        raise DermaSenseError(f"loss.alpha={alpha} must be above 0")
    if one_each and len(values) != len(facts.counts):
        raise DermaSenseError(
            f"loss.alpha has {len(values)} values for {len(facts.counts)} classes; give one a "
            "class, in the order of the class names, or one for all"
        )
    if facts.balance != "focal_alpha":
        return values
    if one_each:
        raise DermaSenseError(
            "balance=focal_alpha computes the alpha of each class, and loss.alpha gives them too; "
            "use balance=none or give loss.alpha one value"
        )
    return class_weights(facts.counts, class_names=facts.class_names)


def _smoothing(value: Any) -> float:
    smoothing = _number("label_smoothing", value)
    if not 0 <= smoothing < 1:
        raise DermaSenseError(f"loss.label_smoothing={smoothing} must be in [0, 1)")
    return smoothing


def _number(option: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise DermaSenseError(f"loss.{option}={value} must be a number")
    if not np.isfinite(value):
        raise DermaSenseError(f"loss.{option}={value} must be finite")
    return float(value)
