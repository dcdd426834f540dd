"""The systems of the out-of-fold tables: what each is, what it builds on, and its predictions.

`results/systems.csv` has a row a system; the scripts that make predictions put theirs there with
:func:`register`, and `oof.py` judges them all. Predictions lie in `results/predictions/` as Parquet
tables of image_id, group, label, fold and logits in half precision: no pixels and no attributes.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dermasense.evaluation.predictions import PREFIX, Predictions, table_metadata
from dermasense.files import read_csv, write_atomically, write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parent / "results"
KEPT = {"image_id": str, "group": str, "label": str, "fold": np.int8}


@dataclass(frozen=True)
class System:
    """One way to answer all images out of fold.

    Attributes:
        dataset: "ham10000" or "fitzpatrick21".
        system: its name, unique in its data set.
        about: what it is, in a few words.
        base: the system that it builds on, "" for none; differences are to it.
        networks: what runs for one image, "lite0@224x4 lite2@260x4" (network, side, views).
        more_parameters: of the heads on top of the networks.
        validation: name of the table that temperatures are fitted on, with {fold} in it; "" where
            they are fitted on the other folds.
        command, commit, machine: how the predictions were made.
    """

    dataset: str
    system: str
    about: str
    base: str = ""
    networks: str = ""
    more_parameters: int = 0
    validation: str = ""
    command: str = ""
    commit: str = ""
    machine: str = ""

    def table(self, results: Path = RESULTS) -> Path:
        """The predictions of all folds that stand."""
        return results / "predictions" / f"{self.dataset}_oof_{self.system}.parquet"

    def validation_table(self, fold: int, results: Path = RESULTS) -> Path:
        """The predictions that fold `fold` fits its temperature on."""
        return results / "predictions" / f"{self.validation.format(fold=fold)}.parquet"


COLUMNS = [field.name for field in fields(System)]


def systems(dataset: str, results: Path = RESULTS) -> list[System]:
    """The systems of a data set in the order of the file."""
    return [each for each in _all(results) if each.dataset == dataset]


def register(system: System, table: Predictions, results: Path = RESULTS) -> None:
    """Writes a system's predictions and its row; the row of the same name is replaced."""
    write_table(system.table(results), table)
    if not system.commit:
        system = System(**{**asdict(system), "commit": commit(), "machine": machine()})
    name = system.dataset, system.system
    rows = {(each.dataset, each.system): each for each in _all(results)} | {name: system}
    write_csv(results / "systems.csv", [asdict(each) for each in rows.values()], COLUMNS)


def write_table(path: Path, table: Predictions) -> None:
    """A predictions table as it may be given away: ids, groups, labels, folds, logits as fp16.

    Logits are shifted to a mean of 0 in each row, which changes no probability and keeps the
    rounding small.
    """
    order = np.argsort(table.frame["image_id"].astype(str).to_numpy(), kind="stable")
    frame = table.frame.iloc[order]
    logits = table.logits - table.logits.mean(axis=1, keepdims=True)
    columns = {name: frame[name].astype(KEPT[name]).to_numpy() for name in KEPT if name in frame}
    for index, name in enumerate(table.class_names):
        columns[f"{PREFIX}{name}"] = logits[order, index].astype(np.float16)
    arrow = pa.table(columns).replace_schema_metadata(table_metadata(table.class_names))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: pq.write_table(arrow, temporary, compression="zstd"))


def _all(results: Path) -> list[System]:
    rows = read_csv(results / "systems.csv", missing_ok=True)
    return [System(**{**row, "more_parameters": int(row["more_parameters"])}) for row in rows]
