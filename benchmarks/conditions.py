"""The 21 conditions one by one and by skin type: benchmarks/results/fitzpatrick21_parts.csv.

    python benchmarks/conditions.py DATA CACHE [--system lite2_lr]

Judges the out-of-fold predictions of a system of `systems.csv`. A row a class with precision,
recall and F1 of the class, and a row a skin type of either annotation (`skin_type`,
`skin_type_centaur`; those missing are no group) with top-1, balanced accuracy and F1 of its images.
Skin types come from the data, whose licence keeps them out of the committed predictions.
"""

import argparse
from pathlib import Path

import numpy as np
from features import source
from systems import RESULTS, systems

from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.files import write_csv
from dermasense.provenance import commit, machine

PER_CLASS = ("precision", "recall", "f1")
WHOLE = ("top1", "balanced_accuracy", "macro_f1", "weighted_f1")
COLUMNS = [
    *"dataset system part value n n_groups".split(),
    *(f"{name}{end}" for name in (*PER_CLASS, *WHOLE) for end in ("", "_low", "_high")),
    *"command commit machine".split(),
]


def class_rows(table: Predictions, resamples: int) -> list[dict]:
    """A row a class, in the order of the classes."""
    found = intervals(table, resamples=resamples, ranking=False)
    rows = []
    for name in table.class_names:
        behind = found[f"recall/{name}"]
        row = {"part": "class", "value": name, "n": behind.n, "n_groups": behind.n_groups}
        rows.append(row | _ends({kind: found[f"{kind}/{name}"] for kind in PER_CLASS}))
    return rows


def group_rows(table: Predictions, column: str, values: np.ndarray, resamples: int) -> list[dict]:
    """A row a value of an attribute; NaN is no value."""
    rows = []
    for value in np.unique(values[~np.isnan(values)]):
        part = table.rows(values == value)
        found = intervals(part, resamples=resamples, ranking=False)
        row = {"part": column, "value": f"{value:g}", "n": len(part), "n_groups": part.n_groups}
        rows.append(row | _ends({name: found[name] for name in WHOLE}))
    return rows


def _ends(found: dict) -> dict:
    return {
        f"{name}{end}": "" if value is None else round(value, 4)
        for name, each in found.items()
        for end, value in (("", each.value), ("_low", each.low), ("_high", each.high))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--system", default="lite2_lr")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    known = {each.system: each for each in systems("fitzpatrick21", asked.results)}
    if asked.system not in known:
        raise SystemExit(f"--system {asked.system}: expected one of {', '.join(known)}")
    table = read_predictions(known[asked.system].table(asked.results))
    frame = source(asked.data, "fitzpatrick21", asked.cache).frame.set_index("image_id")
    frame = frame.loc[table.frame["image_id"]]
    rows = class_rows(table, asked.resamples)
    for column in ("skin_type", "skin_type_centaur"):
        rows += group_rows(table, column, frame[column].to_numpy(float), asked.resamples)
    about = {"dataset": "fitzpatrick21", "system": asked.system}
    about["command"] = f"python benchmarks/conditions.py DATA CACHE --system {asked.system}"
    about |= {"commit": commit(), "machine": machine()}
    path = asked.results / "fitzpatrick21_parts.csv"
    write_csv(path, [about | row for row in rows], COLUMNS)
    print(path)


if __name__ == "__main__":
    main()
