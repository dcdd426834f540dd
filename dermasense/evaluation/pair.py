"""The two tables of a fit that is judged: validation to fit on, test to judge by."""

from dataclasses import dataclass
from pathlib import Path

from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.protocol import is_leaky
from dermasense.evaluation.tables import read_one, read_tables
from dermasense.run_folder import RunFolder, refuse_cross_validation


@dataclass(frozen=True)
class Pair:
    """Validation and test of one model.

    Attributes:
        name: of the run or the test table.
        validation, test: the tables, classes in the same order.
        protocol: how the split was made, in words.
        note: what must be said wherever the numbers are shown.
        folder: of the run, or the one the test table lies in.
        bundle: of the run; None where there is none.
    """

    name: str
    validation: Predictions
    test: Predictions
    protocol: str
    note: str
    folder: Path
    bundle: Path | None


def read_pair(run: str | None = None, val: str | None = None, test: str | None = None) -> Pair:
    """Both tables, of a run folder or by their names.

    Raises:
        DermaSenseError: neither or both were named, a table is missing, an image stands in both,
            or a lesion does where the split is not said to be leaky.
    """
    if (run is None) == (val is None or test is None) or (run and (val or test)):
        raise DermaSenseError(
            "run= is needed, a finished run's folder; or both val= and test=, two tables."
        )
    if run:
        refuse_cross_validation(Path(run))
        folder = RunFolder(Path(run))
        table = read_tables([str(folder.path)])[0]
        path = folder.predictions("val")
    else:
        table, path = read_tables([str(test)])[0], Path(str(val))
    validation = _in_order(read_one(path), path, table.predictions.class_names)
    _refuse_shared(path, table.file, validation, table.predictions, table.protocol)
    bundle = table.run.bundle if table.run and table.run.bundle.is_dir() else None
    return Pair(
        name=table.name,
        validation=validation,
        test=table.predictions,
        protocol=table.protocol,
        note=table.note,
        folder=table.file.parent,
        bundle=bundle if run else None,
    )


def _in_order(table: Predictions, path: Path, class_names: tuple[str, ...]) -> Predictions:
    """The table with classes of these names: a class without images has no label to spell it by."""
    spelt = {name.lower(): name for name in class_names}
    names = {n: n if n in class_names else spelt.get(n.lower(), n) for n in table.class_names}
    frame = table.frame.assign(label=table.frame["label"].map(names))
    try:
        return Predictions(frame, table.logits, tuple(names.values())).in_order(class_names)
    except DermaSenseError as error:
        raise DermaSenseError(f"{path}: {error}") from error


def _refuse_shared(
    path: Path, file: Path, validation: Predictions, test: Predictions, protocol: str
) -> None:
    images, groups = (
        set(validation.frame[key].astype(str)) & set(test.frame[key].astype(str))
        for key in ("image_id", "group")
    )
    if images:
        raise DermaSenseError(
            f"{path} and {file} both hold the image {min(images)} ({len(images)} such images); "
            "what is fitted must be judged by other images."
        )
    if groups and not is_leaky(protocol):
        raise DermaSenseError(
            f"{path} and {file} both hold images of the group {min(groups)} ({len(groups)} such "
            "groups): what is fitted on one would look too good on the other; split by group."
        )
