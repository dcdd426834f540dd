"""The truth for pictures that are predicted: which row of a table belongs to which picture."""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dermasense.errors import DermaSenseError, nearest
from dermasense.evaluation.probabilities_csv import read_labels
from dermasense.inference.image_sources import Images


class Label(NamedTuple):
    """One picture's truth.

    Attributes:
        image_id: as the table of labels spells it.
        label: name of a class.
        group: the lesion.
    """

    image_id: str
    label: str
    group: str


def labels_of(
    images: Images, path: str | Path, class_names: tuple[str, ...] | None = None
) -> dict[str, Label]:
    """Labels by the id of the picture; pictures that the table does not name are left out.

    A row's id may be the picture's id, its path below the folder, or, where file names are all
    different, its file name with or without the ending. `class_names` None takes any label.

    Raises:
        DermaSenseError: as :func:`read_labels`; a label that is no class; no picture has a label.
    """
    truth = read_labels(path)
    rows = {row.image_id: Label(row.image_id, row.label, row.group) for row in truth.itertuples()}
    for number, label in enumerate(truth["label"]):
        if class_names is not None and label not in class_names:
            raise DermaSenseError(
                f"{path}: row {number + 2} has the label {label}, which is no class of the bundle; "
                f"{nearest(label, class_names)}"
            )
    found: dict[str, Label] = {}
    for image_id, name in zip(images.ids, images.names, strict=True):
        keys = [image_id, name]
        if images.by_stem:
            keys += [PurePosixPath(name).name, PurePosixPath(name).stem]
        key = next((key for key in keys if key in rows), None)
        if key is not None:
            found[image_id] = rows[key]
    if not found:
        raise DermaSenseError(
            f"{path}: labels none of the pictures (it names {next(iter(rows), 'nothing')}, the "
            f"pictures are called {images.ids[0]}); give the table of these pictures."
        )
    return found
