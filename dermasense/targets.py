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
    try:
        target = get_object(name)
    except ImportError as error:
        raise DermaSenseError(f"_target_={name} cannot be imported: {error}") from error
    try:
        inspect.signature(target).bind_partial(**options)
    except TypeError as error:
        raise DermaSenseError(f"{name}: {error}") from None
    return partial(target, **options) if later else target(**options)
