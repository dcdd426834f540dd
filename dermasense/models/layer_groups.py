"""timm's layer groups of a backbone, seen from the classifier that holds it as `backbone`."""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

PREFIX = "backbone."


def backbone_groups(backbone: nn.Module, coarse: bool) -> Any:
    """The backbone's `group_matcher` for names that begin with "backbone.".

    Names that match nothing, the head's, form the last group, as timm has it.
    """
    if not hasattr(backbone, "group_matcher"):
        return {"backbone": rf"^{re.escape(PREFIX)}"}
    inner = backbone.group_matcher(coarse=coarse)
    if not isinstance(inner, Mapping):
        return lambda name: (
            inner(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else (float("inf"),)
        )
    return {
        group: [(_below(pattern), suffix) for pattern, suffix in spec]
        if isinstance(spec, list | tuple)
        else spec and _below(spec)
        for group, spec in inner.items()
    }


def _below(pattern: str) -> str:
    """A pattern for the longer name: `re.match` anchors at the start, with or without "^"."""
    unanchored = re.sub(r"(?<![\[\\])\^", "", pattern)
    return rf"^{re.escape(PREFIX)}(?:{unanchored})"
