"""What to do with a probability: sets, alarms, referral, answers by cost. One method a file.

A method is fitted on validation, never on what it is judged by, and then needs logits alone: its
fitted numbers fit into model.json. It reads the probabilities as they are given, so calibrate
first, and fit the method again after the calibration was changed.

A new method is one file here, with the class under the name METHOD, and one yaml in conf/decision.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import pandas as pd

from dermasense.errors import DermaSenseError, nearest
from dermasense.evaluation.predictions import Predictions

# What a method gives for N logits: which classes are in the set, bool (N, C); whether to raise an
# alarm, bool (N,); whether to leave it to a person, bool (N,); the class to answer, int (N,).
KINDS = ("set", "alarm", "refer", "answer")


class Decision(Protocol):
    """What every method offers. Its `name` is that of its file, its `kind` one of KINDS."""

    name: ClassVar[str]
    kind: ClassVar[str]

    def fit(self, validation: Predictions) -> Self:
        """A fitted copy."""

    def apply(self, logits: np.ndarray, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Its answers for logits (N, C) in the class order of the fit; see KINDS.

        `frame` holds the attributes of the images, which one method needs.
        """

    def judge(self, test: Predictions, *, resamples: int = 1000, seed: int = 0) -> dict:
        """What its answers are worth on other images: numbers with n and intervals."""

    def as_dict(self) -> dict:
        """Name, options and fitted numbers, for model.json; `restore` makes it a method again."""


def method_names() -> list[str]:
    """The methods that there are."""
    found = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name for name in found if hasattr(_module(name), "METHOD"))


def stored_entries(decision: Any) -> list[Any]:
    """What fitted methods wrote into model.json: one, or several by any keys or as a list.

    Raises:
        DermaSenseError: it is neither.
    """
    if not decision:
        return []
    if not isinstance(decision, Mapping | list):
        raise DermaSenseError(f"model.json: decision is {decision!r}; calibrate the bundle again")
    if isinstance(decision, list):
        return decision
    return [decision] if "name" in decision else list(decision.values())


def restore(entry: Mapping[str, Any]) -> Decision:
    """The fitted method of what `as_dict` gave.

    Raises:
        DermaSenseError: a method that is not known, or numbers that are missing.
    """
    name = entry.get("name")
    if name not in method_names():
        raise DermaSenseError(f"No decision {name}; {nearest(str(name), method_names())}")
    options = {key: value for key, value in entry.items() if key != "name"}
    options["class_names"] = tuple(options.get("class_names", ()))
    try:
        return _module(name).METHOD(**options)
    except TypeError as error:
        raise DermaSenseError(f"The decision {name}: {error}; fit it again.") from None


def named_classes(option: str, asked: Any, names: Sequence[str]) -> tuple[str, ...]:
    """The classes that an option names, one or several, as text.

    Raises:
        DermaSenseError: none, or one that is no class of the table.
    """
    several = asked if isinstance(asked, Sequence) and not isinstance(asked, str) else [asked]
    classes = tuple(str(each) for each in several)
    if not classes:
        raise DermaSenseError(f"{option} is empty; name the classes not to be missed.")
    for name in classes:
        if name not in names:
            raise DermaSenseError(
                f"{option}: {name} is no class of the table; {nearest(name, names)}"
            )
    return classes


def require_fitted(class_names: tuple[str, ...], name: str) -> None:
    """Raises DermaSenseError where a method was not fitted."""
    if not class_names:
        raise DermaSenseError(f"Fit {name} on a validation table before it is applied.")


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
