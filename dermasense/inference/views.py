"""Test-time augmentation: one picture seen several ways, the answers averaged.

A view works on the model's own pixels (uint8 or float tensors) and gives back the same shape. Views
have names, sets of views have names, and names joined by "+" are a set made on the spot:
`tta.views=flips`, `tta.views=flips+scales`, `tta.views=as_is+mirrored+zoom_80`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from dermasense.errors import DermaSenseError, check_choice, nearest

View = Callable[[torch.Tensor], torch.Tensor]
AVERAGES = ("log", "probability")
KEY = "tta"  # of model.json
AS_IS = "as_is"
_CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")


def _turn(quarters: int, mirror: bool) -> View:
    def apply(images: torch.Tensor) -> torch.Tensor:
        images = images.flip(-1) if mirror else images
        return images.rot90(quarters, (-2, -1)) if quarters else images

    return apply


def _crop(share: float, place: str = "centre", mirror: bool = False) -> View:
    """The part of so many of each side at a corner or the centre, enlarged to the whole."""

    def apply(images: torch.Tensor) -> torch.Tensor:
        size = images.shape[-1]
        edge = min(round((1 - share) * size / 2), (size - 1) // 2)  # even about the centre
        part = size - 2 * edge
        top = left = edge
        if place != "centre":
            top = 2 * edge if place.startswith("bottom") else 0
            left = 2 * edge if place.endswith("right") else 0
        images = images[..., top : top + part, left : left + part]
        return _resized(images.flip(-1) if mirror else images, size)

    return apply


def _shrink(share: float) -> View:
    """The whole picture on so many of each side, its mirrored edges around it."""

    def apply(images: torch.Tensor) -> torch.Tensor:
        size = images.shape[-1]
        inner = max(1, round(share * size))
        before = (size - inner) // 2
        pads = (before, size - inner - before) * 2
        mode = "reflect" if max(pads) < inner else "replicate"
        small = _resized(images, inner)
        return F.pad(small.float(), pads, mode=mode).to(images.dtype)

    return apply


def _resized(images: torch.Tensor, size: int) -> torch.Tensor:
    options = {"mode": "bilinear", "antialias": True, "align_corners": False}
    resized = F.interpolate(images.float(), (size, size), **options)
    return resized if images.is_floating_point() else resized.round().to(images.dtype)


# Crops of 85 % of a side; zooms name the share of a side that is seen, above 100 with a margin.
VIEW: dict[str, View] = {
    AS_IS: _turn(0, False),
    "mirrored": _turn(0, True),
    "upside_down": _turn(2, True),
    "turned_180": _turn(2, False),
    "turned_90": _turn(1, False),
    "turned_270": _turn(3, False),
    "mirrored_turned_90": _turn(1, True),
    "mirrored_turned_270": _turn(3, True),
    "crop_centre": _crop(0.85),
    **{f"crop_{corner}": _crop(0.85, corner) for corner in _CORNERS},
    "mirrored_crop_centre": _crop(0.85, mirror=True),
    **{f"mirrored_crop_{corner}": _crop(0.85, corner, mirror=True) for corner in _CORNERS},
    "zoom_70": _crop(0.7),
    "zoom_80": _crop(0.8),
    "zoom_90": _crop(0.9),
    "zoom_115": _shrink(1 / 1.15),
    "zoom_130": _shrink(1 / 1.3),
}
_CROPS = ("crop_centre", *(f"crop_{corner}" for corner in _CORNERS))
SETS: dict[str, tuple[str, ...]] = {
    "none": (AS_IS,),
    "flips": (AS_IS, "mirrored", "upside_down", "turned_180"),
    "dihedral": tuple(name for name in VIEW if "crop" not in name and "zoom" not in name),
    "crops": (AS_IS, *_CROPS),
    "ten_crops": tuple(each + name for each in ("", "mirrored_") for name in _CROPS),
    "scales": (AS_IS, "zoom_80", "zoom_90", "zoom_115"),
}


def view_names(views: str) -> tuple[str, ...]:
    """The views of a set, of a view, or of several of either joined by "+", each once.

    Raises:
        DermaSenseError: for a name that is in neither `SETS` nor `VIEW`.
    """
    names: dict[str, None] = {}
    for word in str(views).split("+"):
        if word not in SETS and word not in VIEW:
            raise DermaSenseError(f"tta.views={views} is unknown; {nearest(word, [*SETS, *VIEW])}")
        names.update(dict.fromkeys(SETS.get(word, (word,))))
    return tuple(names)


def check_views(*, views: str, average: str) -> None:
    """Raises DermaSenseError for views that :func:`view_names` refuses, or an unknown average."""
    view_names(views)
    check_choice("tta.average", average, AVERAGES)


class Views(NamedTuple):
    """Views and how they are averaged, as :func:`averaged_logits` takes them."""

    views: str = "none"
    average: str = "log"

    def same_as(self, other: "Views") -> bool:
        """Whether both give the same answers; of one view there is no average."""
        names = view_names(self.views)
        return names == view_names(other.views) and (
            len(names) == 1 or self.average == other.average
        )


def views_of(folder: Path, info: Mapping[str, Any]) -> Views | None:
    """The views that a bundle was tested and calibrated on; None where it does not tell.

    Args:
        folder: of the bundle, for messages.
        info: `Bundle.info`; bundles of older versions lack the entry.

    Raises:
        DermaSenseError: an entry that this version does not understand.
    """
    entry = info.get(KEY)
    if entry is None:
        return None
    try:
        found = Views(**entry)
        check_views(**found._asdict())
    except (TypeError, DermaSenseError) as error:
        raise DermaSenseError(
            f"{folder}: {KEY} in model.json is {entry!r} ({str(error).rstrip('.')}); use the "
            "version of DermaSense that wrote it, or undo the edit"
        ) from None
    return found


def averages(info: Mapping[str, Any]) -> bool:
    """Whether a bundle of this :attr:`Bundle.info` averages several views."""
    own = views_of(Path(), info)
    return own is not None and view_names(own.views) != SETS["none"]


def averaged_logits(
    network: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    views: str,
    average: str = "log",
) -> torch.Tensor:
    """The answer over all views of each picture, as normalised log-probabilities where many.

    Args:
        network: pictures (N, 3, S, S) to logits (N, C).
        images: (N, 3, S, S).
        views: as :func:`view_names` reads it; "none" gives the network's own logits, unchanged.
        average: "log", the mean of log-probabilities (the normalised geometric mean), in which one
            view that is sure a class is absent can veto it; "probability", the log of the mean
            probability, which takes what any view is sure of.

    Returns:
        (N, C) float32.
    """
    check_views(views=views, average=average)
    names = view_names(views)
    if names == SETS["none"]:
        return network(images).float()
    answers = [network(VIEW[name](images)).float().log_softmax(1) for name in names]
    return averaged(torch.stack(answers), average)


def averaged(answers: torch.Tensor, average: str = "log") -> torch.Tensor:
    """Log-probabilities of V views, shape (V, N, C), averaged to (N, C) and normalised."""
    mean = answers.mean(0) if average == "log" else answers.logsumexp(0)
    return mean.log_softmax(1)
