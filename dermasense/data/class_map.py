"""Other people's names for the same classes: `data.map={melanoma: mel, nv: nevus, wart: null}`.

A table with the columns label and class says the same: `data.map=FILE.csv`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dermasense.data.catalog import Catalog
from dermasense.data.map_words import COLUMNS, how_to_map, nearest_classes
from dermasense.data.table_file import NOTHING, read_table
from dermasense.errors import DermaSenseError, nearest

Names = Mapping[str, str | None]


def map_classes(catalog: Catalog, mapping: Names | str | None, where: str = "data.map") -> Catalog:
    """Rename classes, join several in one, or leave some out.

    Args:
        catalog: of any source.
        mapping: new name by label, or a table of them; a label that it does not name keeps its
            own; null (in a table an empty class) leaves the images of that label out, which the
            catalog's note counts. Names are exchanged at once: {a: b, b: a} swaps.
        where: the option, for messages.

    Returns:
        The catalog with the classes in their former order, joined ones at the place of the first,
        and last those that words for no label, such as NA, were given.

    Raises:
        DermaSenseError: no mapping, no such table, a label that stands twice in it, or a name that
            is no label and no class of the catalog.
    """
    if not mapping:
        return catalog
    names = _names(mapping, where)
    refuse_unknown(names, [catalog], where)
    return _mapped(catalog, names)


def _names(mapping: Names | str, where: str) -> dict[str, str | None]:
    if isinstance(mapping, Mapping):
        return {_text(old): None if new is None else _text(new) for old, new in mapping.items()}
    if not isinstance(mapping, str) or not Path(mapping).is_file():
        raise DermaSenseError(
            f"{where}={mapping}: expected new names by label, such as {where}={{melanoma: mel}}, "
            f"or a table of them with the columns {' and '.join(COLUMNS)}."
        )
    table = read_table(mapping, COLUMNS)
    names: dict[str, str | None] = {}
    for row, (label, name) in enumerate(zip(*(table[c] for c in COLUMNS), strict=True), start=2):
        if label is None or label in names:
            why = "no label" if label is None else f"the label '{label}' stands in it twice"
            raise DermaSenseError(f"{where}={mapping} row {row}: {why}; mend or remove the row.")
        names[label] = None if name is None or name in NOTHING else name
    return names


def map_all(
    catalogs: Mapping[str, Catalog], mapping: Names | str | None, where: str
) -> dict[str, Catalog]:
    """`map_classes` over several catalogs; each name must be known to one of them at least."""
    if not mapping:
        return dict(catalogs)
    names = _names(mapping, where)
    refuse_unknown(names, catalogs.values(), where)
    return {key: _mapped(catalog, names) for key, catalog in catalogs.items()}


def refuse_unknown(names: Iterable[str], catalogs: Iterable[Catalog], where: str) -> None:
    """Refuse names that no catalog has.

    Raises:
        DermaSenseError: with all such names, and what each may have meant.
    """
    known: set[str] = set()
    for catalog in catalogs:
        known |= set(catalog.class_names) | set(catalog.frame["label"].dropna())
    unknown = [name for name in names if name not in known]
    if unknown:
        first = unknown[0]
        shown = ", ".join(f"'{name}'" for name in unknown)
        raise DermaSenseError(
            f"{where}: no image has the label {shown}; '{first}': {nearest(first, known)}"
        )


def refuse_strangers(catalog: Catalog, class_names: tuple[str, ...], place: str) -> None:
    """Refuse labels that are none of `class_names`; missing ones are reported row by row later.

    Args:
        catalog: the labels.
        class_names: the classes.
        place: the catalog's options, such as "data.sources.b".

    Raises:
        DermaSenseError: one sentence with every such label, its number of images, and what to do.
    """
    counts = catalog.frame["label"].value_counts()
    strangers = {name: int(n) for name, n in counts.items() if name not in class_names}
    if strangers:
        shown = ", ".join(f"'{name}' ({n} images)" for name, n in sorted(strangers.items()))
        raise DermaSenseError(
            f"{place}: {shown} is none of the classes {', '.join(class_names)}; name its class by "
            f"{how_to_map(place, nearest_classes(sorted(strangers), class_names))}; null, or in a "
            "table no class, leaves a label out."
        )


def _mapped(catalog: Catalog, names: Names) -> Catalog:
    labels = catalog.frame["label"]
    gone = labels.isin([old for old, new in names.items() if new is None])
    frame = catalog.frame[~gone].reset_index(drop=True)
    frame["label"] = [names.get(label, label) for label in frame["label"]]
    given = [word for word in names if word in NOTHING and labels.eq(word).any()]
    classes = [names.get(name, name) for name in (*catalog.class_names, *given)]
    notes = [catalog.note]
    if gone.any():
        counts = labels[gone].value_counts()
        shown = ", ".join(f"'{name}' ({n} images)" for name, n in sorted(counts.items()))
        notes.append(f"left out by data.map: {shown}")
    return replace(
        catalog,
        frame=frame,
        class_names=tuple(dict.fromkeys(name for name in classes if name is not None)),
        note="; ".join(note for note in notes if note),
    )


def _text(name: object) -> str:
    """YAML reads 0 and true as what they look like; labels are text."""
    if pd.api.types.is_bool(name):
        return str(name).lower()
    return str(name)
