"""An ensemble is a bundle too: one folder, its members inside, that answers as one model does.

`ensemble.json` names the members, their weights and how answers are averaged; `members/` holds
their bundles; `model.json` tells what a bundle's does (class names, temperature, licence, ...), so
that it is calibrated and served like one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dermasense.data.preprocess import InputSpec, read_rgb
from dermasense.data.store import DecodedStore
from dermasense.errors import DermaSenseError
from dermasense.evaluation.ensembling import AVERAGES, mixed
from dermasense.inference.predictor import Predictor, Source
from dermasense.models.bundle import (
    CONTRACT,
    DESCRIPTION,
    WithoutNetwork,
    check_sha256,
    read_description,
    read_spec,
)

FILE, MEMBERS = "ensemble.json", "members"


@dataclass(frozen=True)
class EnsembleBundle(WithoutNetwork):
    """What model.json tells of an ensemble, as a :class:`Bundle` does; `place` is its folder."""

    REASON = (
        "an ensemble is no single network to look into or export; name one of "
        f"{{place}}/{MEMBERS}/*"
    )


class Pixels(np.ndarray):
    """The first member's pixels, (S, S, 3) uint8; those of members with other inputs beside.

    Whatever is computed from it is a plain picture again.
    """

    others: dict[InputSpec, np.ndarray]

    @classmethod
    def of(cls, first: np.ndarray, others: Mapping[InputSpec, np.ndarray]) -> "Pixels":
        """`first` with the pixels of other inputs."""
        made = first.view(cls)
        made.others = dict(others)
        return made

    def __array_finalize__(self, source: object) -> None:
        self.others = {}


@dataclass
class EnsemblePredictor:
    """Members that answer as one; the interface of :class:`Predictor`.

    Args:
        bundle: what its model.json tells.
        members: predictors, each with its own input and class order.
        weights: one a member.
        averaging: "probability" or "log"; see `dermasense.evaluation.ensembling.mixed`.
    """

    bundle: EnsembleBundle
    members: Sequence[Predictor]
    weights: tuple[float, ...]
    averaging: str

    @classmethod
    def of(cls, folder: str | Path, **options: Any) -> "EnsemblePredictor":
        """Read an ensemble's folder and check all of it, members included.

        Args:
            folder: with ensemble.json in it.
            **options: of each member's :meth:`Predictor.of`: device, engine, views, ...; without
                views each member takes its own.

        Raises:
            DermaSenseError: naming the file, what is wrong with it and what to do.
        """
        folder = Path(folder)
        description = read_description(folder)
        path = folder / FILE
        check_sha256(path, description["sha256"])
        names = tuple(map(str, description["class_names"]))
        content = json.loads(path.read_text("utf-8"))
        check_content(path, content, names)
        members = [open_member(folder, row, names, options) for row in content["members"]]
        spec = read_spec(folder, description["input"])
        if _looks(spec) != _looks(members[0].spec):
            raise DermaSenseError(
                f"{folder / DESCRIPTION}: input is not that of the first member; undo the edit, or "
                "make the ensemble again"
            )
        info = {k: v for k, v in description.items() if k not in CONTRACT}
        weights = tuple(float(row["weight"]) for row in content["members"])
        bundle = EnsembleBundle(folder, spec, names, info, description["backbone"])
        return cls(bundle, members, weights, content["average"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The order of the logits."""
        return self.bundle.class_names

    @property
    def spec(self) -> InputSpec:
        """What a picture is made into for the first member."""
        return self.bundle.spec

    @property
    def specs(self) -> list[InputSpec]:
        """The members' inputs that differ in their pixels, that of the first member first."""
        return [member.spec for member in self._doors()]

    @property
    def device(self) -> str:
        """Where the members compute."""
        return self.members[0].device

    @property
    def engine(self) -> str:
        """What the members compute with."""
        return self.members[0].engine

    @property
    def views(self) -> str:
        """Test-time augmentation of the members; several, with commas, where they differ."""
        return ", ".join(dict.fromkeys(member.views for member in self.members))

    @property
    def average(self) -> str:
        """How the members average their views; several, with commas, where they differ."""
        return ", ".join(dict.fromkeys(member.average for member in self.members))

    @property
    def other_views(self) -> str:
        """A sentence where the views of a member are not its own; "" else."""
        return next((said for member in self.members if (said := member.other_views)), "")

    @property
    def batch_size(self) -> int:
        """Pictures at once."""
        return self.members[0].batch_size

    def pixels(self, source: Source, name: str = "") -> np.ndarray:
        """One picture as :meth:`logits` takes it; decoded once, made into every member's input.

        Raises:
            UnreadableImage: naming the picture and what is wrong with it.
        """
        doors = self._doors()
        if len(doors) == 1:
            return self.members[0].pixels(source, name)
        picture = read_rgb(source, min(each.spec.max_pixels for each in self.members), name)
        return self.together([member.pixels(picture, name)[None] for member in doors])[0]

    def together(self, pictures: Sequence[np.ndarray]) -> list[Pixels]:
        """Many pictures as :meth:`logits` takes them, where members have several inputs.

        Args:
            pictures: uint8 (N, S, S, 3) for each of :attr:`specs`, the same N pictures.
        """
        looks = [_looks(spec) for spec in self.specs[1:]]
        return [
            Pixels.of(first, dict(zip(looks, others, strict=True)))
            for first, *others in zip(*pictures, strict=True)
        ]

    def parts(self, pixels: np.ndarray) -> list[np.ndarray]:
        """What each member sees of a picture: (S, S, 3) uint8 of its own S, of :meth:`pixels`.

        Raises:
            DermaSenseError: pixels of one input, where members have several.
        """
        return [self._seen([pixels], member)[0] for member in self.members]

    def logits(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Log-probabilities (N, C) float32 of the weighted average over the members.

        Args:
            images: what :meth:`pixels` gave; where all members have one input, also an array
                (N, S, S, 3) uint8.
        """
        if not len(images):
            return np.empty((0, len(self.class_names)), np.float32)
        return self._mixed([member.logits(self._seen(images, member)) for member in self.members])

    def embeddings(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The members' pooled vectors side by side, (N, D1 + D2 + ...) float32; no views."""
        parts = [member.embeddings(self._seen(images, member)) for member in self.members]
        return np.concatenate(parts, axis=1)

    def logits_and_embeddings(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What `logits` and `embeddings` give, of one pass."""
        both = [member.logits_and_embeddings(self._seen(images, member)) for member in self.members]
        return self._mixed([one for one, _ in both]), np.concatenate([e for _, e in both], axis=1)

    def stored(self, paths: Sequence[str], cache_dir: str | Path, progress=None) -> DecodedStore:
        """The pixels of many files, decoded once and kept, where all members have one input.

        Raises:
            DermaSenseError: members with several inputs.
        """
        if len(self._doors()) > 1:
            raise DermaSenseError(
                f"{self.bundle.place}: its members have several inputs, so no one store of pixels "
                "serves them; give it pictures one by one, or take one of its members"
            )
        return self.members[0].stored(paths, cache_dir, progress)

    def _doors(self) -> list[Predictor]:
        """The first member of each input."""
        found: dict[InputSpec, Predictor] = {}
        for member in self.members:
            found.setdefault(_looks(member.spec), member)
        return list(found.values())

    def _seen(self, images: Sequence[np.ndarray], member: Predictor) -> Sequence[np.ndarray]:
        look = _looks(member.spec)
        if look == _looks(self.members[0].spec):
            return images
        try:
            return [image.others[look] for image in images]
        except (AttributeError, KeyError):
            raise DermaSenseError(
                f"{self.bundle.place}: its members have several inputs, and these pixels are of "
                "one; make them with its own pixels(picture)"
            ) from None

    def _mixed(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        ordered = [
            each[:, [member.class_names.index(name) for name in self.class_names]]
            for each, member in zip(logits, self.members, strict=True)
        ]
        return mixed(np.stack(ordered), self.weights, self.averaging).astype(np.float32)


def is_ensemble(folder: Path) -> bool:
    """Whether a folder holds an ensemble."""
    return (folder / FILE).is_file()


def check_content(path: Path, content: Any, names: Sequence[str]) -> None:
    """Holds what ensemble.json says against the contract.

    Raises:
        DermaSenseError: it names no members, weights that are none, or a member outside.
    """
    rows = content.get("members") if isinstance(content, dict) else None
    keys = {"folder", "weight", "sha256"}
    named = [isinstance(row, dict) and keys <= set(row) for row in rows or ()]
    if not rows or not all(named) or not all(isinstance(row["folder"], str) for row in rows):
        raise DermaSenseError(f"{path}: names no members; make the ensemble again")
    if content.get("average") not in AVERAGES:
        raise DermaSenseError(
            f"{path}: average is {content.get('average')!r}; this DermaSense knows "
            f"{', '.join(AVERAGES)}"
        )
    mixed(np.zeros((len(rows), 1, len(names))), [row["weight"] for row in rows])  # checks weights
    for row in rows:
        place = PurePosixPath(row["folder"])
        if place.is_absolute() or ".." in place.parts:
            raise DermaSenseError(f"{path}: member {row['folder']} lies outside the ensemble")


def open_member(
    folder: Path, row: Mapping[str, Any], names: Sequence[str], options: Mapping[str, Any]
) -> Predictor:
    """The member that a row of ensemble.json names.

    Raises:
        DermaSenseError: it is no bundle, another one than the row's, or knows other classes.
    """
    place = folder / row["folder"]
    member = Predictor.of(place, **options)
    if not isinstance(member, Predictor):
        raise DermaSenseError(f"{place}: is an ensemble itself; name its members instead")
    if member.bundle.info["sha256"] != row["sha256"]:
        raise DermaSenseError(
            f"{place}: is not the member that the ensemble was made with (its sha256 differs); "
            "make the ensemble again"
        )
    if sorted(member.class_names) != sorted(names):
        raise DermaSenseError(
            f"{place}: its classes are {', '.join(member.class_names)}, the ensemble's are "
            f"{', '.join(names)}; members must know the same classes"
        )
    return member


def _looks(spec: InputSpec) -> InputSpec:
    """What decides the pixels: the mean and the std are applied by the network itself."""
    return replace(spec, mean=(0.0,) * 3, std=(1.0,) * 3, max_pixels=InputSpec.max_pixels)
