"""Who is in the synthetic data set: classes, lesions, skin tones, views; nothing is painted here.

Classes are named after how they are drawn, so that none can be taken for a diagnosis.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dermasense.data.lesion_painter import ITA_RANGE, Lesion, View
from dermasense.errors import DermaSenseError, nearest

# Mean strength of each trait in a typical lesion of the class; what is not named is _FAINT.
_TYPICAL = {
    "drawn_plain": {"pigment": 0.85, "irregular": 0.25, "soft": 0.55, "mottled": 0.20},
    "drawn_net": {"pigment": 0.80, "irregular": 0.35, "soft": 0.60, "mottled": 0.30, "net": 0.72},
    "drawn_dots": {"pigment": 0.80, "irregular": 0.30, "soft": 0.45, "mottled": 0.25, "dots": 0.72},
    "drawn_patches": {
        "pigment": 1.00, "irregular": 0.60, "soft": 0.40, "mottled": 0.72, "blue": 0.50,
        "red": 0.30, "net": 0.22, "dots": 0.22,
    },
    "drawn_rays": {"pigment": 0.95, "irregular": 0.30, "soft": 0.35, "rays": 0.72, "net": 0.22},
    "drawn_flakes": {
        "pigment": 0.60, "irregular": 0.40, "soft": 0.30, "flakes": 0.65, "dots": 0.22,
        "mottled": 0.35, "red": 0.25,
    },
    "drawn_threads": {
        "pigment": 0.32, "irregular": 0.30, "soft": 0.55, "red": 0.72, "vessels": 0.72,
        "flakes": 0.12,
    },
}  # fmt: skip
CLASS_NAMES = tuple(_TYPICAL)
DEFAULT_WEIGHTS = dict(zip(CLASS_NAMES, (0.30, 0.20, 0.14, 0.12, 0.10, 0.08, 0.06), strict=True))
_FAINT = {
    "pigment": 0.8, "irregular": 0.35, "soft": 0.45, "mottled": 0.25, "blue": 0.05, "red": 0.12,
    "net": 0.10, "dots": 0.10, "rays": 0.06, "flakes": 0.04, "vessels": 0.06,
}  # fmt: skip
_TRAITS = tuple(_FAINT)
_CEILING = {"pigment": 1.7}
SITES = ("back", "leg", "arm", "chest", "face")
_HAIRY = {"back": 0.20, "leg": 0.40, "arm": 0.35, "chest": 0.30, "face": 0.08}
_SKIN_SHARE = (
    0.14,
    0.21,
    0.21,
    0.18,
    0.15,
    0.11,
)  # of types I to VI; every audit needs some of each
_VIEW_SHARE = (0.42, 0.36, 0.16, 0.06)  # of lesions with 1, 2, 3, 4 pictures


@dataclass(frozen=True)
class Person:
    """One drawn lesion with its label, skin type (1 to 6), body site and views."""

    label: str
    skin_type: int
    site: str
    lesion: Lesion
    views: tuple[View, ...]


def lesion_counts(n_lesions: int, class_weights: Mapping[str, float] | None) -> dict[str, int]:
    """Lesions per class: largest remainder, and at least three of each where `n_lesions` allows it.

    Three let every class be in a training, a validation and a test split.

    Raises:
        DermaSenseError: too few lesions for the classes, an unknown class or a weight that is no
            number or below 0.
    """
    weights = DEFAULT_WEIGHTS if class_weights is None else dict(class_weights)
    for name, weight in weights.items():
        if name not in CLASS_NAMES:
            raise DermaSenseError(
                f"data.class_weights: unknown class '{name}'; {nearest(name, CLASS_NAMES)}"
            )
        if not (isinstance(weight, int | float) and 0 <= weight < float("inf")):
            raise DermaSenseError(
                f"data.class_weights.{name}: expected a number, 0 or more, got {weight!r}"
            )
    names = [name for name in CLASS_NAMES if weights.get(name, 0) > 0]
    if len(names) < 2:
        raise DermaSenseError("data.class_weights: give at least two classes a weight above 0")
    if n_lesions < len(names):
        raise DermaSenseError(
            f"data.n_lesions: {n_lesions} lesions cannot fill {len(names)} classes; "
            f"take {3 * len(names)} or more"
        )
    least = min(3, n_lesions // len(names))
    share = np.array([weights[name] for name in names], float)
    exact = share / share.sum() * (n_lesions - least * len(names))
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: n_lesions - least * len(names) - counts.sum()]] += 1
    return {name: int(count) + least for name, count in zip(names, counts, strict=True)}


def draw_population(
    *,
    seed: int,
    n_lesions: int,
    difficulty: float = 1.0,
    class_weights: Mapping[str, float] | None = None,
) -> list[Person]:
    """Draws all lesions and views; each is a pure function of the seed and its position.

    Skin type, site, hairs, ruler and light are drawn without looking at the class.

    Args:
        seed: any integer >= 0.
        n_lesions: number of lesions; pictures are about 1.9 times as many.
        difficulty: >= 0. Scales the spread within a class and the share of lesions that lie between
            two classes; at 0 every lesion of a class is typical.
        class_weights: relative frequency by class name; 0 or absent draws none.
    """
    counts = lesion_counts(n_lesions, class_weights)
    labels = np.repeat(list(counts), list(counts.values()))
    labels = np.random.default_rng([seed, 0]).permutation(labels)
    return [_draw_person(seed, i, str(label), tuple(counts), difficulty) for i, label in
            enumerate(labels)]  # fmt: skip


def _draw_person(
    seed: int, position: int, label: str, names: tuple[str, ...], difficulty: float
) -> Person:
    # Two generators: what the class decides must not shift the draws of skin and views.
    person = np.random.default_rng([seed, 1, position])
    skin_type = int(person.choice(6, p=_SKIN_SHARE)) + 1
    site = str(person.choice(SITES))
    ita = float(person.uniform(*ITA_RANGE[skin_type]))
    shape = {
        "size": float(np.clip(person.normal(0.32, 0.05), 0.22, 0.44)),
        "elongation": float(1 + person.gamma(2.0, 0.10)),
        "grain": float(person.uniform(4.2, 6.4)),
    }
    count = int(person.choice(4, p=_VIEW_SHARE)) + 1
    views = tuple(
        _draw_view(np.random.default_rng([seed, 2, position, v]), (seed, 3, position, v), site)
        for v in range(count)
    )
    traits = _draw_traits(np.random.default_rng([seed, 4, position]), label, names, difficulty)
    lesion = Lesion(seed=(seed, 5, position), ita=ita, **shape, **traits)
    return Person(label, skin_type, site, lesion, views)


def _draw_traits(
    rng: np.random.Generator, label: str, names: tuple[str, ...], difficulty: float
) -> dict[str, float]:
    own = np.array([_TYPICAL[label].get(trait, _FAINT[trait]) for trait in _TRAITS])
    others = [name for name in names if name != label]
    other = str(rng.choice(others))
    guest = np.array([_TYPICAL[other].get(trait, _FAINT[trait]) for trait in _TRAITS])
    # A few lesions lie so near the middle of two classes that nobody could name them.
    between = rng.uniform() < 0.06 * difficulty
    mix = rng.uniform(0.40, 0.58) if between else min(0.4, rng.beta(1.2, 7.0) * difficulty)
    spread = difficulty * rng.normal(0, 1, len(_TRAITS)) * (0.05 + 0.20 * np.minimum(own, 0.7))
    strengths = own * (1 - mix) + guest * mix + spread
    return {
        trait: float(np.clip(value, 0.12 if trait == "pigment" else 0.0, _CEILING.get(trait, 1.0)))
        for trait, value in zip(_TRAITS, strengths, strict=True)
    }


def _draw_view(rng: np.random.Generator, seed: tuple[int, ...], site: str) -> View:
    hairy = rng.uniform() < _HAIRY[site]
    warm = rng.normal(0, 0.05)
    return View(
        seed=seed,
        turn=float(rng.uniform(-np.pi, np.pi)),
        shift=(float(rng.normal(0, 0.05)), float(rng.normal(0, 0.04))),
        zoom=float(np.exp(rng.normal(0, 0.13))),
        exposure=float(np.exp(rng.normal(0.12, 0.16))),
        tint=(float(np.exp(warm)), 1.0, float(np.exp(-warm + rng.normal(0, 0.04)))),
        slope=(float(rng.normal(0, 0.18)), float(rng.normal(0, 0.18))),
        vignette=float(rng.uniform(0, 0.9)),
        frame=bool(rng.uniform() < 0.15),
        hairs=int(rng.integers(3, 22)) if hairy else 0,
        ruler=bool(rng.uniform() < 0.12),
        blur=float(rng.uniform(0, 0.65)),
        noise=float(rng.uniform(0.004, 0.016)),
    )
