"""The head of the original b1_se: squeeze-and-excitation, pooling and a two-layer perceptron."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from dermasense.errors import DermaSenseError


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018, eq. 2 to 4), applied to the pooled vector.

    The scale s depends on the features x only through GAP(x), and GAP(s * x) = s * GAP(x). So the
    block on (N, D, h, w) followed by global average pooling equals this one on (N, D) exactly,
    and the head needs nothing but the pooled vector.

    Shape: (N, D) -> (N, D).
    """

    def __init__(self, features: int, reduction: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(features, max(1, features // reduction))
        self.expand = nn.Linear(max(1, features // reduction), features)

    def scale(self, pooled: torch.Tensor) -> torch.Tensor:
        """The factor of each channel, (N, D) in (0, 1)."""
        return torch.sigmoid(self.expand(F.relu(self.reduce(pooled))))

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return pooled * self.scale(pooled)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that uses its running statistics where a training batch has only one row.

    One row has no variance: torch raises there, in the last batch of an epoch of k * batch + 1.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class Head(nn.Module):
    """SE (reduction 4), GAP, BN, dropout .3, 384 swish, BN, dropout .25, 192 swish, dropout .15, C.

    Dense layers start as in Keras (Glorot uniform, zero bias); batch norm has Keras' epsilon.

    Args:
        in_features: D.
        num_classes: C.
        reduction: of the squeeze.
        hidden: widths of the two dense layers.
        dropout: before each dense layer, the last one included; one more than `hidden`.
        bn_momentum: weight of the newest batch in the running statistics (torch's convention).
            Keras' default is .01 here; .1 suits short runs, whose statistics would otherwise still
            be the initial 0 and 1 when the first validation comes.

    Raises:
        DermaSenseError: other than two widths and three dropouts.

    Shape: (N, D) -> (N, C).
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        reduction: int = 4,
        hidden: Sequence[int] = (384, 192),
        dropout: Sequence[float] = (0.3, 0.25, 0.15),
        bn_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        for option, values, count in (("hidden", hidden, 2), ("dropout", dropout, 3)):
            if not isinstance(values, Sequence) or len(values) != count:
                raise DermaSenseError(
                    f"head.{option}={values}: expected a list of {count} numbers."
                )
        first, second = hidden
        drop_in, drop_middle, drop_out = dropout
        self.se = SqueezeExcite(in_features, reduction)
        self.mlp = nn.Sequential(
            BatchNorm(in_features, eps=1e-3, momentum=bn_momentum),
            nn.Dropout(drop_in),
            nn.Linear(in_features, first),
            nn.SiLU(),
            BatchNorm(first, eps=1e-3, momentum=bn_momentum),
            nn.Dropout(drop_middle),
            nn.Linear(first, second),
            nn.SiLU(),
            nn.Dropout(drop_out),
        )
        self.classifier = nn.Linear(second, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.mlp(self.se(pooled)))
