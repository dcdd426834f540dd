"""Heads: pooled features (N, D) -> logits (N, C). One file here is one head, its class `Head`.

A new head is a new file `dermasense/models/heads/<name>.py` and a new `conf/head/<name>.yaml`.
"""

import importlib
import inspect
import pkgutil
from typing import Any

from torch import nn

from dermasense.errors import DermaSenseError, nearest

HEADS: dict[str, type[nn.Module]] = {
    module.name: importlib.import_module(f"{__name__}.{module.name}").Head
    for module in pkgutil.iter_modules(__path__)
}


def head_options(name: str, **options: Any) -> dict[str, Any]:
    """The options of a head with its defaults filled in, so that a bundle does not lean on them.

    Raises:
        DermaSenseError: for an unknown head or option, with the nearest valid names.
    """
    if name not in HEADS:
        raise DermaSenseError(f"head '{name}' does not exist; {nearest(name, HEADS)}")
    parameters = list(inspect.signature(HEADS[name]).parameters.values())[2:]
    defaults = {p.name: p.default for p in parameters}
    for option in options:
        if option not in defaults:
            raise DermaSenseError(
                f"head '{name}' has no option '{option}'; {nearest(option, defaults)}"
            )
    return defaults | options


def build_head(name: str, in_features: int, num_classes: int, **options: Any) -> nn.Module:
    """A head by name; its initial weights come from the global torch generator.

    Args:
        name: a key of `HEADS`.
        in_features: D, the width of the pooled vector.
        num_classes: C.
        options: what the head's constructor takes beyond these two.

    Raises:
        DermaSenseError: for an unknown head or option, with the nearest valid names.
    """
    options = head_options(name, **options)
    return HEADS[name](in_features, num_classes, **options)
