"""Which training images an epoch shows, and in which order: the answers to unbalanced classes."""

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from dermasense.errors import DermaSenseError, nearest
from dermasense.targets import build


@dataclass(frozen=True)
class Method:
    """A balance: how it acts, and what makes its rows.

    Attributes:
        builder: "module:function" called with a `TrainingSplit` and the options of the balance,
            imported when it is asked for; "" shows every image once an epoch.
        check: "module:function" called with the rows of the whole catalog and the options, before
            any picture is decoded; "" where any value of the options will do, or is tried later.
        options: names of its options besides `name`.
        acts: how it shifts the prior of the classes, "" where it does not.
        every_class: needs a training image of each class.
    """

    builder: str = ""
    check: str = ""
    options: tuple[str, ...] = ()
    acts: str = ""
    every_class: bool = False


SHOWN, WEIGHED = "rare classes are shown more often", "rare classes count more in the loss"
# A new balance is a line here, a module and a yaml. What acts in the loss is built by
# `dermasense.training.losses`, what blends a batch by `dermasense.training.mixing`.
METHODS = {
    "none": Method(),
    "sampler": Method("dermasense.data.balance:class_sampler", acts=SHOWN, every_class=True),
    "group_sampler": Method(
        "dermasense.data.group_sampling:group_sampler",
        "dermasense.data.group_sampling:check_groups",
        ("attribute",),
        SHOWN,
        True,
    ),
    "class_weights": Method(acts=WEIGHED),
    "focal_alpha": Method(acts=WEIGHED),
    "logit_adjust": Method(options=("tau",), acts=WEIGHED, every_class=True),
    "smote": Method(
        "dermasense.data.smote:with_blends",
        "dermasense.data.smote_features:check_smote",
        ("k_neighbors",),
        SHOWN,
        True,
    ),
    # Its samples are made when a phase has its embeddings: `LesionData.rows`.
    "smote_features": Method(
        check="dermasense.data.smote_features:check_smote",
        options=("method", "k_neighbors"),
        acts=SHOWN,
        every_class=True,
    ),
    "mixup": Method(options=("alpha", "prob")),
    "cutmix": Method(options=("alpha", "prob")),
}
BALANCES = tuple(METHODS)


@dataclass(frozen=True)
class Draws:
    """The samples of an epoch, in order; each is a blend of two images of one class.

    Attributes:
        first: (n,) int64, rows of the training split; the label of a sample is that of `first`.
        second: (n,) int64, rows of the training split; equal to `first` for a real image.
        weight: (n,) float64 in [0, 1), the share of `second`; 0 for a real image.
    """

    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def __add__(self, more: "Draws") -> "Draws":
        """These samples, then those."""
        return Draws(
            np.concatenate([self.first, more.first]),
            np.concatenate([self.second, more.second]),
            np.concatenate([self.weight, more.weight]),
        )

    def __getitem__(self, order: np.ndarray) -> "Draws":
        """The samples at `order`, an array of positions or a slice."""
        return Draws(self.first[order], self.second[order], self.weight[order])

    @classmethod
    def of_rows(cls, rows: np.ndarray) -> "Draws":
        """Real images alone."""
        rows = np.asarray(rows, dtype=np.int64)
        return cls(rows, rows, np.zeros(len(rows)))


def blend(image: np.ndarray, other: np.ndarray, weight: float) -> np.ndarray:
    """SMOTE's sample, image + weight * (other - image): imbalanced-learn's formula, bit by bit.

    Args:
        image: (S, S, 3), of the sample's row `first`.
        other: (S, S, 3), of its row `second`.
        weight: share of `other`, in [0, 1).

    Returns:
        (S, S, 3) float64.
    """
    image = image.astype(np.float64)
    return image + weight * (other.astype(np.float64) - image)


class Rows(Protocol):
    """What an epoch is drawn from.

    Attributes:
        draws: every sample that an epoch can show, real and synthetic ones.
    """

    draws: Draws

    def __len__(self) -> int:
        """Number of samples in an epoch."""

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """The samples of one epoch, in order, as positions in `draws`, (n,) int64.

        A pure function of the state of `rng`.
        """


class Permutation:
    """Every sample once, real and synthetic ones mixed."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws

    def __len__(self) -> int:
        return len(self.draws)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(len(self.draws))


class ClassSampler:
    """As many draws as there are images, with replacement; first a class, each equally likely, then
    an image of it. The same law as a WeightedRandomSampler with weights 1 / n_class.
    """

    def __init__(self, labels: np.ndarray, num_classes: int) -> None:
        self.draws = Draws.of_rows(np.arange(len(labels)))
        self.counts = np.bincount(labels, minlength=num_classes)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        self.by_class = np.argsort(labels, kind="stable")

    def __len__(self) -> int:
        return len(self.by_class)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        classes = rng.integers(len(self.counts), size=len(self))
        within = rng.integers(self.counts[classes])
        return self.by_class[self.starts[classes] + within]


@dataclass(frozen=True)
class TrainingSplit:
    """What a balance may look at.

    Attributes:
        labels: (n,) int64, class indices of the rows of the training split.
        images: (S, S, 3) uint8 at each row; a memory map.
        class_names: the order of the class indices.
        seed: for draws that are made once.
        frame: the rows with their attributes, or None.
    """

    labels: np.ndarray
    images: Sequence[np.ndarray]
    class_names: tuple[str, ...]
    seed: int
    frame: pd.DataFrame | None = None

    @property
    def plain(self) -> Draws:
        """Every real image once."""
        return Draws.of_rows(np.arange(len(self.labels)))


def class_sampler(split: TrainingSplit) -> Rows:
    """The rows of balance=sampler."""
    return ClassSampler(split.labels, len(split.class_names))


def method_of(name: str, options: Iterable[str]) -> Method:
    """The balance of this name, held to the options that it has.

    Raises:
        DermaSenseError: for an unknown name or option.
    """
    if name not in METHODS:
        raise DermaSenseError(f"balance={name} is not known; {nearest(name, METHODS)}")
    method = METHODS[name]
    for option in options:
        if option not in method.options:
            valid = nearest(option, method.options) if method.options else "it takes no options"
            raise DermaSenseError(f"balance={name} has no option '{option}'; {valid}")
    return method


def build_rows(
    name: str,
    labels: np.ndarray,
    images: Sequence[np.ndarray],
    class_names: Sequence[str],
    seed: int,
    frame: pd.DataFrame | None = None,
    **options: Any,
) -> Rows:
    """Builds what the epochs of a training split are drawn from.

    Args:
        name: one of `BALANCES`. Those that act in the loss or on a batch are here as `none`. Any
            other name needs a `_target_` among the options: a function that takes a
            `TrainingSplit` and the other options and returns `Rows`.
        labels, images, class_names, seed, frame: of the training split; see `TrainingSplit`.
        **options: of the balance.

    Raises:
        DermaSenseError: for an unknown name or option, an absent class where the method needs
            every class, for SMOTE where a class has too few images, and for a `_target_` that
            gives no rows.
    """
    labels = np.asarray(labels, dtype=np.int64)
    split = TrainingSplit(labels, images, tuple(class_names), seed, frame)
    if "_target_" in options:
        return _own_rows(name, split, options)
    method = method_of(name, options)
    if method.every_class:
        check_present(np.bincount(labels, minlength=len(class_names)), class_names, name)
    if not method.builder:
        return Permutation(split.plain)
    return _imported(method.builder)(split, **options)


def check_balance(name: str, frame: pd.DataFrame, **options: Any) -> None:
    """Tries a balance of ours before a picture is decoded.

    Args:
        name, options: as `build_rows` takes them.
        frame: the rows of the whole catalog.

    Raises:
        DermaSenseError: for an unknown name or option, or a value that is no good.
    """
    method = method_of(name, options)
    if method.check:
        _imported(method.check)(frame, **options)


def _imported(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _own_rows(name: str, split: TrainingSplit, options: dict[str, Any]) -> Rows:
    rows = build({**options, "_partial_": True})(split)
    has_draws = isinstance(getattr(rows, "draws", None), Draws)
    if not (has_draws and callable(getattr(rows, "order", None))):
        raise DermaSenseError(
            f"balance={name}: {options['_target_']} gave {type(rows).__name__}; expected the rows "
            "of dermasense.data.balance, such as Permutation(Draws.of_rows(...))"
        )
    return rows


def check_present(counts: np.ndarray, class_names: Sequence[str] | None, wanted_by: str) -> None:
    """Raises DermaSenseError where a class has no training image to balance with."""
    absent = [int(c) for c in np.flatnonzero(np.asarray(counts) == 0)]
    if absent:
        named = ", ".join(f"'{class_names[c]}'" if class_names else f"number {c}" for c in absent)
        raise DermaSenseError(
            f"{wanted_by} cannot balance a class without training images ({named}); add images of "
            "it, take it out of the class names, or use balance=none"
        )


def stacked_balancing(balance: str, loss: dict[str, Any]) -> list[str]:
    """Names the balancings that would act on top of each other; empty unless two or more do.

    Each shifts the prior of the classes, so together they overshoot: a class of 1 % that is drawn
    as often as the others and weighted by 1/n besides counts a hundred times too much.

    Args:
        balance: name of the balance.
        loss: options of the loss, `name` among them.
    """
    acting = []
    acts = METHODS[balance].acts if balance in METHODS else ""
    # weighted_ce and class_weights are one mechanism, see build_loss: together they count once.
    weighted = loss.get("name") == "weighted_ce"
    if acts and not (weighted and balance == "class_weights"):
        acting.append(f"balance={balance} ({acts})")
    if weighted:
        scheme = loss.get("weighting", "balanced")
        acting.append(f"loss=weighted_ce, weighting {scheme} ({WEIGHED})")
    alpha = loss.get("alpha")
    if loss.get("name") == "focal" and alpha is not None and np.ndim(alpha) == 1:
        acting.append("loss.alpha with a value for each class")
    return acting if len(acting) > 1 else []
