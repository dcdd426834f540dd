"""What an explanation of one answer is: a map over the picture, and for which class."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from dermasense.inference.explaining import METHODS
from dermasense.inference.prediction import Prediction

_PLACES = [
    f"{row} {column}".strip() or "middle"
    for row in ("upper", "", "lower")
    for column in ("left", "", "right")
]


@dataclass(frozen=True)
class Explanation:
    """Where the parts of a picture lie that speak for a class.

    Attributes:
        image: the picture's path or name.
        picture: RGB, upright, cleaned where the model has pictures cleaned (`frame_crop` leaves a
            part of it), perhaps shrunk.
        map: (H, W) float32 in [0, 1] over `picture`, 1 at its peak; 0 where the model is not shown
            the picture; all zeros where nothing speaks for the class.
        method: a name of `dermasense.inference.explaining.METHODS`.
        target: the class it speaks for.
        prediction: the model's answer to the picture.
    """

    image: str
    picture: Image.Image
    map: np.ndarray
    method: str
    target: str
    prediction: Prediction

    @property
    def probability(self) -> float:
        """Calibrated probability of `target`, 0 to 1."""
        return self.prediction.probabilities[self.target]

    @property
    def empty(self) -> bool:
        """Whether nothing in the picture speaks for the class, by this method."""
        return not self.map.any()

    @property
    def where(self) -> str:
        """In which ninths of the picture most of the map's strong half (its values above .5) lies.

        "middle", "upper left"; two, as "upper left and the lower right", where the second has over
        half of what the first has.
        """
        strong = self.map * (self.map > 0.5)
        height, width = strong.shape
        ninths = np.zeros((3, 3))
        rows, columns = (3 * np.arange(height) // height, 3 * np.arange(width) // width)
        np.add.at(ninths, (rows[:, None], columns), strong)
        order = np.argsort(-ninths, axis=None, kind="stable")[:2]
        first, second = ninths.flat[order]
        return " and the ".join(_PLACES[each] for each in order[: 1 + (second > first / 2)])

    @property
    def sentence(self) -> str:
        """What a person who does not see the map is told."""
        method = METHODS[self.method]
        if self.empty:
            return f"{method.name} finds nothing in the picture that speaks for {self.target}."
        most = f"speaks most for {self.target}"
        if method.classless:
            most = "the network saw most"
        return f"What {most} lies in the {self.where} part of the picture, by {method.name}."

    def heat(self) -> Image.Image:
        """The picture with the map laid on it."""
        from dermasense.inference.explaining.overlay import heat

        return heat(self.picture, self.map)

    def overlay(self) -> Image.Image:
        """The picture, beside it the same with the map, and below what must be known."""
        from dermasense.inference.explaining.overlay import overlay

        return overlay(self)
