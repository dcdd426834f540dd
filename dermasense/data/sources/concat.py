"""Several sources as one data set: `data=concat`.

Class order: that of the first source after `data.map`, or `class_names` as given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dermasense.data.catalog import Catalog
from dermasense.data.class_map import Names, map_all
from dermasense.data.combine import combine
from dermasense.data.loading import load_catalog
from dermasense.data.preprocess import MAX_PIXELS
from dermasense.errors import DermaSenseError

OF_THE_WHOLE = {"on_error": "raise", "max_pixels": MAX_PIXELS}  # with what a source says itself


def catalog(
    sources: Mapping[str, Mapping[str, Any]],
    map: Names | str | None = None,
    class_names: Sequence[str] | None = None,
    shared_groups: bool = True,
    evaluation_only: bool = False,
) -> Catalog:
    """Read every source and put the rows together; see `dermasense.data.combine`.

    Args:
        sources: options of a data source by a short name.
        map: class names, or a table of them, exchanged in all sources after their own `map`.
        class_names: the classes, in order; None takes those of the first source.
        shared_groups: False where the same group name in two sources is another lesion.
        evaluation_only: True keeps the images out of training.

    Raises:
        DermaSenseError: a source that cannot be read, is for evaluation only, or has labels that
            are no class; the sentence names the source.
    """
    parts: dict[str, Catalog] = {}
    for name, options in sources.items():
        for key, default in OF_THE_WHOLE.items():
            if options.get(key, default) != default:
                raise DermaSenseError(
                    f"data.sources.{name}.{key}: this option holds for all sources; type "
                    f"data.{key}={options[key]} instead."
                )
        parts[name] = load_catalog(options, where=f"data.sources.{name}")
        if parts[name].evaluation_only and not evaluation_only:
            raise DermaSenseError(
                f"data.sources.{name}: {parts[name].name} is for evaluation only; take it as a "
                f"test set: split=own data@split.test={parts[name].name}."
            )
    parts = map_all(parts, map, "data.map")
    whole_set = combine(
        parts,
        tuple(str(c) for c in class_names) if class_names else None,
        shared_groups=shared_groups,
    )
    return replace(whole_set, evaluation_only=evaluation_only)
