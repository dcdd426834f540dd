"""Heads: pooled features (N, D) -> logits (N, C). One file here is one head, its class `Head`.

A new head is a new file `dermasense/models/heads/<name>.py` and a new `conf/head/<name>.yaml`. A
head that lives elsewhere is known by name once it is registered: by `register`, by the `_target_`
of a configuration, or by an installed package that declares it as an entry point of
`dermasense.heads`. A bundle registers nothing: what it names is data, and may be anybody's.
"""

import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points
from typing import Any

from torch import nn

from dermasense.errors import DermaSenseError, nearest

HEADS: dict[str, type[nn.Module]] = {
    module.name: importlib.import_module(f"{__name__}.{module.name}").Head
    for module in pkgutil.iter_modules(__path__)
}
ENTRY_POINTS = "dermasense.heads"
_registered: dict[str, type[nn.Module]] = {}


def register(name: str, head: type[nn.Module]) -> None:
    """Makes a head from outside the package known in this process, or replaces it there.

    Args:
        name: what configurations and bundles call it.
        head: its class; the constructor takes in_features, num_classes and named options.

    Raises:
        DermaSenseError: the name is that of a head of DermaSense, or `head` is no such class.
    """
    if name in HEADS:
        raise DermaSenseError(f"head '{name}' is one of DermaSense's; give yours another name")
    if not (inspect.isclass(head) and issubclass(head, nn.Module)):
        raise DermaSenseError(f"head '{name}': {head!r} is no class of torch.nn.Module")
    _registered[name] = head


def head_class(name: str, target: str | None = None) -> type[nn.Module]:
    """The class of a head.

    Args:
        name: of the head.
        target: where its code lay when a bundle was saved, for the message; it is not imported.

    Raises:
        DermaSenseError: for an unknown name, with the nearest valid ones or what to do.
    """
    if name in HEADS:
        return HEADS[name]
    if name not in _registered:
        for found in entry_points(group=ENTRY_POINTS, name=name):
            register(name, _loaded(found))
    if name in _registered:
        return _registered[name]
    if target:
        raise DermaSenseError(
            f"head '{name}' is code from outside DermaSense ({target}), and a bundle imports no "
            f"code: import it and call dermasense.models.heads.register('{name}', ...) before, or "
            f"install a package that declares it as an entry point of {ENTRY_POINTS}"
        )
    raise DermaSenseError(f"head '{name}' does not exist; {nearest(name, [*HEADS, *_registered])}")


def _loaded(declared: Any) -> Any:
    try:
        return declared.load()
    except (ImportError, AttributeError) as error:
        raise DermaSenseError(
            f"head '{declared.name}': the entry point {declared.value} cannot be imported ({error})"
        ) from None


def head_options(name: str, _target_: str | None = None, **options: Any) -> dict[str, Any]:
    """The options of a head with its defaults filled in, so that a bundle does not lean on them.

    Args:
        name: of the head.
        _target_: see `head_class`.
        options: what its constructor takes beyond the two widths.

    Returns:
        The options; of a head from outside the package also `_target_`, where its class lies.

    Raises:
        DermaSenseError: for an unknown head or option, with the nearest valid names; an option
            that is missing.
    """
    head = head_class(name, _target_)
    parameters = list(inspect.signature(head).parameters.values())[2:]
    loose = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    defaults = {p.name: p.default for p in parameters if p.kind not in loose}
    for option in options:
        if option not in defaults:
            valid = nearest(option, defaults) if defaults else "it takes no options"
            raise DermaSenseError(f"head '{name}' has no option '{option}'; {valid}")
    place = {} if name in HEADS else {"_target_": f"{head.__module__}.{head.__qualname__}"}
    values = defaults | options
    missing = [option for option, value in values.items() if value is inspect.Parameter.empty]
    if missing:
        raise DermaSenseError(f"head '{name}' needs a value of '{missing[0]}'")
    return place | values


def build_head(name: str, in_features: int, num_classes: int, **options: Any) -> nn.Module:
    """A head by name; its initial weights come from the global torch generator.

    Args:
        name: a key of `HEADS`, or a name that is registered.
        in_features: D, the width of the pooled vector.
        num_classes: C.
        options: what the head's constructor takes beyond these two, and what `head_options` adds.

    Raises:
        DermaSenseError: for an unknown head or option, with the nearest valid names.
    """
    options = head_options(name, **options)
    options.pop("_target_", None)
    return head_class(name)(in_features, num_classes, **options)
