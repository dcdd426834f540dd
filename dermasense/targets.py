"""Objects from `_target_` configs, as Hydra's `instantiate` makes them, our errors left whole."""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from hydra.utils import get_object

from dermasense.errors import DermaSenseError


def build(config: Mapping[str, Any]) -> Any:
    """Calls `_target_` with the other options; with `_partial_` gives a function that will.

    Hydra's own `instantiate` wraps what a target raises, so a user's mistake would lose its words.

    Raises:
        DermaSenseError: where the target does not exist or takes no such option.
    """
    options = dict(config)
    name, later = options.pop("_target_"), options.pop("_partial_", False)
    target = imported(name)
    try:
        inspect.signature(target).bind_partial(**options)
    except (TypeError, ValueError) as error:  # it takes no such option; it is no function of Python
        raise DermaSenseError(f"{name}: {error}") from None
    return partial(target, **options) if later else target(**options)


def imported(target: str) -> Any:
    """What a `_target_` names, such as "mine.heads.Wide".

    Raises:
        DermaSenseError: where it cannot be imported.
    """
    if not isinstance(target, str):
        raise DermaSenseError(f"_target_={target}: expected a name, such as mine.heads.Wide")
    try:
        return get_object(target)
    except (ImportError, ValueError) as error:  # ValueError: a path such as ../x
        why = " ".join(str(error).split())
        raise DermaSenseError(f"_target_={target} cannot be imported: {why}") from error
