"""From the options of `data=` and `split=` to the catalog that they mean; every command's door."""

from collections.abc import Mapping
from typing import Any

from dermasense.data.catalog import Catalog
from dermasense.data.class_map import map_classes
from dermasense.data.combine import with_test_set
from dermasense.targets import build


def load_catalog(
    data: Mapping[str, Any], split: Mapping[str, Any] | None = None, where: str = "data"
) -> Catalog:
    """The images, their classes renamed by `data.map`, and a test set of its own beside them.

    Args:
        data: options of the data group, resolved; `source` has the `_target_`.
        split: options of the split group; `test` holds the data options of a test set.
        where: place of `data` among the options, for messages.

    Raises:
        DermaSenseError: data that is not there or does not fit; one sentence.
    """
    source = dict(data["source"])
    catalog = build(source)
    if "map" not in source:  # a source of several sources maps them itself
        catalog = map_classes(catalog, data.get("map"), f"{where}.map")
    test = (split or {}).get("test")
    if not test:
        return catalog
    return with_test_set(
        catalog,
        load_catalog(test, where="split.test"),
        shared_groups=(split or {}).get("shared_groups", True),
    )
