"""From a model and a picture to a map over that picture; an ensemble's is the mean of members'."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dermasense.data.cleaning import cleaned
from dermasense.data.preprocess import InputSpec, read_rgb, seen_part
from dermasense.errors import DermaSenseError, nearest
from dermasense.inference.ensemble import EnsemblePredictor
from dermasense.inference.explaining import attribution, check_method, scaled
from dermasense.inference.explaining.explanation import Explanation
from dermasense.inference.pictures import Picture, from_array
from dermasense.inference.predictor import Predictor
from dermasense.models.bundle import NoNetwork
from dermasense.models.classifier import Classifier

if TYPE_CHECKING:
    from dermasense.inference.model import Model

PREDICTED = "predicted"


@dataclass(frozen=True)
class Member:
    """One network to look into.

    Attributes:
        network: a copy of the bundle's, in evaluation mode, asking for no gradient.
        predictor: whose input and class order it has.
        weight: of its map.
    """

    network: Classifier
    predictor: Predictor
    weight: float = 1.0


@dataclass(frozen=True)
class Explainer:
    """The networks behind a predictor, one or several; they may be used from several threads."""

    members: tuple[Member, ...]

    @classmethod
    def of(cls, predictor: Predictor | EnsemblePredictor) -> Explainer:
        """The networks of a bundle or of an ensemble's members.

        Raises:
            NoNetwork: an exported model, which holds none, or members that clean pictures in
                different ways.
        """
        if isinstance(predictor, Predictor):
            return cls((_member(predictor),))
        if len({each.spec.clean for each in predictor.members}) > 1:
            raise NoNetwork(
                predictor.bundle.place,
                "its members clean pictures in different ways, so their maps do not lie over one "
                "picture; explain its members one by one",
            )
        pairs = zip(predictor.members, predictor.weights, strict=True)
        return cls(tuple(_member(each, weight) for each, weight in pairs))

    def shown(self, picture: Image.Image, side: int | None) -> Image.Image:
        """An upright RGB picture as explanations show it: cleaned, at most `side` long."""
        if clean := self.members[0].predictor.spec.clean:
            picture = Image.fromarray(cleaned(np.asarray(picture), clean))
        if side and max(picture.size) > side:
            picture = picture.copy()
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        return picture

    def over(
        self,
        parts: Sequence[np.ndarray],
        size: tuple[int, int],
        target: str,
        method: str = "hirescam",
    ) -> np.ndarray:
        """The map of a picture for a class.

        Args:
            parts: each member's pixels of it, as the predictor's `parts` gives them.
            size: width and height of what :meth:`shown` gave.
            target: name of a class.
            method: a name of `METHODS`.

        Returns:
            (height, width) float32 in [0, 1].
        """
        total = np.zeros(size[::-1], np.float32)
        for each, pixels in zip(self.members, parts, strict=True):
            place = each.predictor.class_names.index(target)
            found = attribution(each.network, pixels, place, method)
            total += each.weight * carried(found, size, each.predictor.spec)
        return scaled(total)


def explained(
    model: Model, picture: Picture, name: str, *, method: str, target: str, side: int | None
) -> Explanation:
    """What :meth:`Model.explain` says of one picture."""
    check_method(method)
    check_target(target, model.class_names)
    if isinstance(picture, np.ndarray):
        picture = from_array(picture, name)
    upright = read_rgb(picture, model.spec.max_pixels, name)
    explainer = model.explainer
    pixels = model.pixels(upright, name)
    said = model.judge([pixels], [name])[0]
    chosen = target if target in model.class_names else said.answer
    shown = explainer.shown(upright, side)
    found = explainer.over(model.predictor.parts(pixels), shown.size, chosen, method)
    return Explanation(name, shown, found, method, chosen, said)


def check_target(target: str, class_names: Sequence[str]) -> None:
    """Raises DermaSenseError, with the nearest names, for neither "predicted" nor a class."""
    valid = [PREDICTED, *class_names]
    if target not in valid:
        raise DermaSenseError(f"target={target} is no class; {nearest(target, valid)}")


def carried(found: np.ndarray, size: tuple[int, int], spec: InputSpec) -> np.ndarray:
    """A map over the model's pixels as one over the picture; 0 outside what the model is shown.

    Args:
        found: (S, S) float32.
        size: width and height of the picture.
        spec: the model's input.

    Returns:
        (height, width) float32.
    """
    left, top, right, bottom = (round(edge) for edge in seen_part(size, spec))
    right, bottom = max(right, left + 1), max(bottom, top + 1)  # of a very thin picture
    left, top = min(left, size[0] - 1), min(top, size[1] - 1)
    part = Image.fromarray(found).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    whole = np.zeros(size[::-1], np.float32)
    whole[top:bottom, left:right] = np.asarray(part)
    return whole


def _member(predictor: Predictor, weight: float = 1.0) -> Member:
    # A copy: who goes on training the bundle's network keeps its gradients.
    network = copy.deepcopy(predictor.bundle.classifier).eval().requires_grad_(False)
    return Member(network.to(predictor.device), predictor, weight)
