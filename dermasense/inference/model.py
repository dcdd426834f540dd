"""`load`: a bundle as an object that answers for pictures, and all that its users touch."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from dermasense.data.preprocess import InputSpec
from dermasense.inference.decision import Decision
from dermasense.inference.novelty import Novelty
from dermasense.inference.pictures import Picture, from_array, is_one, name_of
from dermasense.inference.prediction import Prediction
from dermasense.inference.predictor import Predictor
from dermasense.models.hub_bundle import SHIPPED, locate

if TYPE_CHECKING:
    from dermasense.inference.explaining.explainer import Explainer
    from dermasense.inference.explaining.explanation import Explanation

log = logging.getLogger(__name__)
_BLANK = 8  # range of every channel, of 255: a lens cap, a white page, and what JPEG makes of it


@dataclass(frozen=True)
class Model:
    """A bundle, ready to answer. Made by :func:`load`.

    Attributes:
        predictor: pixels to logits and embeddings.
        decision: logits to calibrated probabilities, conformal sets, refer or answer.
        novelty: tells pictures unlike those of training; None where the bundle was not fitted.
    """

    predictor: Predictor
    decision: Decision
    novelty: Novelty | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self.predictor.class_names

    @property
    def spec(self) -> InputSpec:
        """What a picture is made into."""
        return self.predictor.spec

    @property
    def info(self) -> Mapping[str, Any]:
        """The rest of model.json: training_data, licence, metrics, sha256, ..."""
        return self.predictor.bundle.info

    @overload
    def predict(self, pictures: Picture) -> Prediction: ...
    @overload
    def predict(self, pictures: Iterable[Picture]) -> list[Prediction]: ...
    def predict(self, pictures):
        """Answers for one picture, or a list of answers for several.

        Args:
            pictures: a path, the bytes of an image file, an open binary file, a PIL picture, or an
                array (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, or float from 0 to 1; a list of
                any of these, or an array (N, H, W, 3), gives a list. Only `batch_size` pictures
                are held decoded at a time.

        Raises:
            UnreadableImage: naming the first picture that cannot be read, and why.
        """
        if is_one(pictures):
            return self.judge([self.pixels(pictures)], [name_of(pictures, None)])[0]
        found: list[Prediction] = []
        pixels: list[np.ndarray] = []
        names: list[str] = []
        for number, picture in enumerate(pictures, start=1):
            names.append(name_of(picture, number))
            pixels.append(self.pixels(picture, names[-1]))
            if len(pixels) == self.predictor.batch_size:
                found += self.judge(pixels, names)
                pixels, names = [], []
        return found + self.judge(pixels, names)

    @overload
    def explain(
        self, pictures: Picture, *, method: str = ..., target: str = ..., side: int | None = ...
    ) -> "Explanation": ...
    @overload
    def explain(
        self,
        pictures: Iterable[Picture],
        *,
        method: str = ...,
        target: str = ...,
        side: int | None = ...,
    ) -> "list[Explanation]": ...
    def explain(self, pictures, *, method="hirescam", target="predicted", side=1024):
        """Where the parts of a picture lie that speak for a class, the picture seen as it is.

        The answer beside it is that of :meth:`predict`, over all views.

        Args:
            pictures: as :meth:`predict` takes them; several give a list.
            method: "hirescam", "gradcam", "gradcam_pp", "eigencam", "occlusion" or
                "integrated_gradients"; see `dermasense.inference.explaining`.
            target: name of a class, or "predicted", the answer.
            side: the picture and the map come back with at most so many pixels on the longer side;
                None keeps the picture's own size.

        Raises:
            DermaSenseError: an unknown method or class, an exported model, which holds no network
                to look into, or a CAM of a network whose map has one place, as at 32 px.
            UnreadableImage: naming the first picture that cannot be read, and why.
        """
        from dermasense.inference.explaining.explainer import explained

        options = {"method": method, "target": target, "side": side}
        if is_one(pictures):
            return explained(self, pictures, name_of(pictures, None), **options)
        return [
            explained(self, each, name_of(each, number), **options)
            for number, each in enumerate(pictures, start=1)
        ]

    @cached_property
    def explainer(self) -> "Explainer":
        """The networks that :meth:`explain` looks into."""
        from dermasense.inference.explaining.explainer import Explainer

        return Explainer.of(self.predictor)

    def pixels(self, picture: Picture, name: str = "") -> np.ndarray:
        """The model's pixels of one picture, (S, S, 3) uint8; safe to call from many threads.

        Raises:
            UnreadableImage: naming the picture and what is wrong with it.
        """
        if isinstance(picture, np.ndarray):
            picture = from_array(picture, name or "array")
        return self.predictor.pixels(picture, name)

    def judge(
        self, pixels: Sequence[np.ndarray], names: Sequence[str] | None = None
    ) -> list[Prediction]:
        """Answers for pixels that :meth:`pixels` gave, in batches of the predictor's size.

        Args:
            pixels: N arrays (S, S, 3) uint8.
            names: of the pictures; default "image 1", "image 2", ...
        """
        if not len(pixels):
            return []
        names = names or [f"image {number + 1}" for number in range(len(pixels))]
        logits, distances = self._forward(pixels)
        said = self.decision.judge(logits)
        parts = said.probabilities, said.answers, said.sets, said.refers, said.alarms
        rows = zip(names, logits, distances, _blank(pixels), *parts, strict=True)
        return [self._prediction(*row) for row in rows]

    def _forward(self, pixels: Sequence[np.ndarray]) -> tuple[np.ndarray, Sequence[float | None]]:
        if self.novelty is None:
            return self.predictor.logits(pixels), [None] * len(pixels)
        logits, embeddings = self.predictor.logits_and_embeddings(pixels)
        return logits, [float(d) for d in self.novelty.distance(embeddings)]

    def _prediction(
        self,
        name: str,
        logits: np.ndarray,
        distance: float | None,
        blank: bool,
        probabilities: np.ndarray,
        answer: int,
        members: tuple[int, ...] | None,
        refer: bool | None,
        alarm: bool,
    ) -> Prediction:
        warnings = []
        if blank:
            warnings.append("the picture is (nearly) one colour: there is nothing to judge")
        if distance is not None and distance > 1:
            warnings.append(
                "the picture is unlike those the model was trained on (distance "
                f"{distance:.2f}, limit 1): the answer means little"
            )
        if alarm:
            warnings.append("a class that must not be missed cannot be ruled out")
        classes = self.class_names
        return Prediction(
            image=name,
            answer=classes[int(answer)],
            probabilities=dict(zip(classes, map(float, probabilities), strict=True)),
            prediction_set=None if members is None else tuple(classes[c] for c in members),
            refer=True if warnings else refer,
            warnings=tuple(warnings),
            distance=distance,
            logits=tuple(map(float, logits)),
        )


def load(
    bundle: str | Path = SHIPPED,
    *,
    device: str = "cpu",
    engine: str = "auto",
    tta: str | None = None,
    average: str | None = None,
    batch_size: int = 16,
) -> Model:
    """Reads and checks a bundle: sha256, shapes, class names, versions. Nothing is unpickled.

    Args:
        bundle: folder of a bundle, of a finished run or of an exported model; "shipped" for the
            one that comes with the package; "hf://owner/name[@revision]" for one on the hub.
        device: where torch computes, such as "cuda"; a CPU takes ONNX Runtime where installed.
        engine: "auto", "onnx" or "torch".
        tta: test-time augmentation, a name of `dermasense.inference.views`; None takes the views
            that the bundle was tested and calibrated on, "none" the picture as it is. Where these
            differ, a warning is logged.
        average: of its views, "log" or "probability"; None takes the bundle's.
        batch_size: pictures at once.

    Raises:
        DermaSenseError: one sentence on what is wrong with the bundle and what to do.
    """
    folder = locate(bundle)
    options = {"device": device, "engine": engine, "batch_size": batch_size}
    options |= {"views": tta, "average": average}
    predictor = Predictor.of(folder, **options)
    if said := predictor.other_views:
        log.warning(said)
    info = predictor.bundle.info
    decision = Decision.of_bundle(folder, predictor.class_names, info)
    return Model(predictor, decision, Novelty.of(folder, info))


def _blank(pixels: Sequence[np.ndarray]) -> list[bool]:
    """Whether each picture is (nearly) one colour; every fourth pixel is enough to see that."""
    few = np.stack([one[::4, ::4] for one in pixels])
    spread = few.max(axis=(1, 2)) - few.min(axis=(1, 2))
    return [bool(one) for one in spread.max(axis=1) <= _BLANK]
