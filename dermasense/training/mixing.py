"""Mixup and CutMix: batches blended with themselves, by timm, each batch the same on every walk."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from timm.data import Mixup
from torch import Tensor
from torch.nn import functional as F

from dermasense.errors import DermaSenseError

MIXINGS = {"mixup": {"alpha": 0.2, "prob": 1.0}, "cutmix": {"alpha": 1.0, "prob": 1.0}}
_SALT = 1  # dropout draws from the same place


class Mixing:
    """Blends the i-th sample of a batch with the i-th from its end.

    Of an odd batch the last sample stays as it is. timm draws from NumPy's global generator; here
    it is set for the draw and put back, so the blend is a function of `place` alone.

    Args:
        mixer: timm's.
    """

    def __init__(self, mixer: Mixup) -> None:
        self.mixer = mixer

    def __call__(self, x: Tensor, target: Tensor, place: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Blended samples and their soft targets.

        Args:
            x: (N, ...) pictures of 0..255, or activations; left unchanged.
            target: (N,) int64.
            place: seed, phase, epoch, batch.

        Returns:
            x float32 of the same shape, targets (N, C) float32.

        Raises:
            DermaSenseError: CutMix of vectors.
        """
        if self.mixer.cutmix_alpha > 0 and x.ndim != 4:
            raise DermaSenseError(
                "balance=cutmix pastes a part of one picture into another, and this phase trains "
                "on pooled vectors; use cache=none or balance=mixup"
            )
        even = len(x) - len(x) % 2
        mixed = x.to(torch.float32, copy=True)
        soft = F.one_hot(target, self.mixer.num_classes).float()
        if even:
            with _numpy_seeded([*place, _SALT]):
                # timm writes into what it is given.
                _, soft[:even] = self.mixer(mixed[:even], target[:even])
        return mixed, soft


def build_mixing(name: str, *, num_classes: int, **options: Any) -> Mixing:
    """The blending of balance=mixup or balance=cutmix.

    Args:
        name: "mixup" (Zhang et al. 2018) or "cutmix" (Yun et al. 2019).
        num_classes: C.
        **options: alpha, of the Beta(alpha, alpha) that draws the share of a batch; prob, the share
            of batches that are blended.

    Raises:
        DermaSenseError: a value out of range.
    """
    values = MIXINGS[name] | options
    alpha, prob = values["alpha"], values["prob"]
    if not (type(alpha) in (int, float) and 0 < alpha < math.inf):
        raise DermaSenseError(f"balance.alpha={alpha}: expected a number above 0")
    if not (type(prob) in (int, float) and 0 < prob <= 1):
        raise DermaSenseError(f"balance.prob={prob}: expected a number above 0, at most 1")
    mixer = Mixup(
        mixup_alpha=alpha if name == "mixup" else 0.0,
        cutmix_alpha=alpha if name == "cutmix" else 0.0,
        prob=prob,
        label_smoothing=0.0,  # the loss smooths
        num_classes=num_classes,
    )
    return Mixing(mixer)


@contextmanager
def _numpy_seeded(place: Sequence[int]) -> Iterator[None]:
    before = np.random.get_state()
    np.random.seed(np.random.SeedSequence(place).generate_state(1)[0])
    try:
        yield
    finally:
        np.random.set_state(before)
