"""Rows of external tests for benchmarks/results/external.csv, from what the command wrote.

    python -m dermasense.external bundle=RUN data=isic2018 data.root=DIR out=OUT
    python benchmarks/external.py RUN OUT [RUN OUT ...]

A row a metric: external, internal, and external minus internal with its interval; groups of each
set drawn on their own. The external set chose nothing.
"""

import argparse
from pathlib import Path

from dermasense.files import read_json, write_csv
from dermasense.run_folder import RunFolder, commit, machine

ENDS = {"": "value", "_low": "low", "_high": "high"}
SETS = ("external", "internal", "change")
COLUMNS = ["dataset", "tested_on", "experiment", "views", "metric"]
COLUMNS += [f"{each}{end}" for each in SETS for end in ENDS]
COLUMNS += ["n", "n_internal", "command", "commit", "machine"]


def rows(run: RunFolder, out: Path) -> list[dict]:
    """One row a metric that both sets have."""
    _, settings = run.read_config()
    found = read_json(out / "metrics.json")
    tested_on = found["protocol"].partition("(")[2].partition(")")[0]
    dataset = settings["data"]["name"]
    about = {
        "dataset": dataset,
        "tested_on": tested_on,
        "experiment": settings["name"],
        "views": "none",
        "command": f"python -m dermasense.external bundle={run.path} data={tested_on} "
        "data.root=DIR",
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
    parser.add_argument("places", nargs="+", type=Path, help="RUN OUT [RUN OUT ...]")
    parser.add_argument("--table", type=Path, default=Path("benchmarks/results/external.csv"))
    arguments = parser.parse_args()
    pairs = zip(arguments.places[::2], arguments.places[1::2], strict=True)
    found = [row for run, out in pairs for row in rows(RunFolder(run), out)]
    write_csv(arguments.table, found, COLUMNS)


if __name__ == "__main__":
    main()
