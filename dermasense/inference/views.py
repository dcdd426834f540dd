"""Test-time augmentation: the same picture turned and mirrored, answers averaged."""

from collections.abc import Callable

import torch

from dermasense.errors import DermaSenseError, nearest

Turn = Callable[[torch.Tensor], torch.Tensor]


def _turn(quarters: int, mirror: bool) -> Turn:
    def apply(images: torch.Tensor) -> torch.Tensor:
        images = images.flip(-1) if mirror else images
        return images.rot90(quarters, (-2, -1)) if quarters else images

    return apply


VIEWS: dict[str, tuple[Turn, ...]] = {
    "none": (_turn(0, False),),
    "flips": (_turn(0, False), _turn(0, True), _turn(2, True), _turn(2, False)),
    "dihedral": tuple(_turn(quarters, mirror) for mirror in (False, True) for quarters in range(4)),
}


def check_views(name: str) -> None:
    """Raises DermaSenseError for a name that is not in `VIEWS`."""
    if name not in VIEWS:
        raise DermaSenseError(f"tta.views={name} is unknown; {nearest(name, VIEWS)}")


def averaged_logits(
    network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, views: str
) -> torch.Tensor:
    """Mean log-probabilities over the views of each picture, which are logits of the average.

    The mean of log-probabilities is the normalised geometric mean of the probabilities.

    Args:
        network: pictures (N, 3, S, S) to logits (N, C).
        images: (N, 3, S, S).
        views: a name of `VIEWS`; "none" gives the network's own logits, unchanged.

    Returns:
        (N, C) float32.
    """
    if views == "none":
        return network(images).float()
    turned = (network(turn(images)).float().log_softmax(1) for turn in VIEWS[views])
    return torch.stack(list(turned)).mean(0)
