"""The head of the original b4_weighted: global average pooling, dropout, one dense layer."""

import torch
from torch import nn


class Head(nn.Module):
    """Dropout and one dense layer, initialised as Keras does (Glorot uniform, zero bias).

    Args:
        in_features: D.
        num_classes: C.
        dropout: probability in [0, 1) of dropping an entry of the pooled vector.

    Shape: (N, D) -> (N, C).
    """

    def __init__(self, in_features: int, num_classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(in_features, num_classes)
        nn.init.xavier_uniform_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.dropout(pooled))
