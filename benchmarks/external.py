"""Rows of external tests for benchmarks/results/external.csv, from what the command wrote.

    python -m dermasense.external bundle=RUN data=isic2018 data.root=DIR out=OUT
    python benchmarks/external.py RUN OUT
    python benchmarks/external.py ENSEMBLE OUT --experiment ham_blocks_folds --views flips

A row a metric: external, internal, and external minus internal with its interval; groups of each
set drawn on their own. The external set chose nothing. Rows of other experiments stay.
"""

import argparse
from pathlib import Path

from dermasense.files import read_csv, read_json, write_csv
from dermasense.run_folder import RunFolder, commit, machine

ENDS = {"": "value", "_low": "low", "_high": "high"}
SETS = ("external", "internal", "change")
COLUMNS = ["dataset", "tested_on", "experiment", "views", "metric"]
COLUMNS += [f"{each}{end}" for each in SETS for end in ENDS]
COLUMNS += ["n", "n_internal", "command", "commit", "machine"]


def rows(bundle: Path, out: Path, dataset: str, experiment: str, views: str) -> list[dict]:
    """One row a metric that both sets have."""
    found = read_json(out / "metrics.json")
    tested_on = found["protocol"].partition("(")[2].partition(")")[0]
    averaged = "" if views == "none" else f" tta={views} internal=TABLE"
    about = {
        "dataset": dataset,
        "tested_on": tested_on,
        "experiment": experiment,
        "views": views,
        "command": f"python -m dermasense.external bundle={bundle.name} data={tested_on} "
        f"data.root=DIR{averaged}",
        "commit": commit(),
        "machine": machine(),
    }
    return [about | _row(key, found) for key in found["change"]]


def _row(key: str, found: dict) -> dict:
    kind, _, name = key.partition("/")
    row: dict = {"metric": key}
    parts = {"external": found, "internal": found["internal"]}
    for each, metrics in parts.items():
        metric = metrics["per_class"][name][kind] if name else metrics[key]
        row |= _cells(each, metric)
        row["n" if each == "external" else "n_internal"] = metric["n"]
    return row | _cells("change", found["change"][key])


def _cells(each: str, metric: dict) -> dict:
    values = {f"{each}{end}": metric[of] for end, of in ENDS.items()}
    return {key: "" if value is None else round(value, 4) for key, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a run, or a bundle that no run has made")
    parser.add_argument("out", type=Path, help="what the command wrote")
    parser.add_argument("--dataset", default="ham10000", help="that it was trained on")
    parser.add_argument("--experiment", help="the run's, where it is one")
    parser.add_argument("--views", default="none")
    parser.add_argument("--table", type=Path, default=Path("benchmarks/results/external.csv"))
    asked = parser.parse_args()
    name = asked.experiment or RunFolder(asked.bundle).read_config()[1]["name"]
    found = rows(asked.bundle, asked.out, asked.dataset, name, asked.views)
    known = read_csv(asked.table, missing_ok=True)
    others = [row for row in known if (row["experiment"], row["views"]) != (name, asked.views)]
    write_csv(asked.table, [*others, *found], COLUMNS)


if __name__ == "__main__":
    main()
