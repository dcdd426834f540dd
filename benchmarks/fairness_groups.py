"""How trained runs serve groups, and which groups differ: benchmarks/results/fairness_groups.csv.

    python benchmarks/fairness_groups.py RUN [RUN ...]

From the runs' test tables alone: a row for each value of each attribute and metric, and one for the
largest gap of each, from the group `value` to the group `better`.
"""

import argparse
from pathlib import Path

from dermasense.evaluation.fairness.audit import by_attribute
from dermasense.evaluation.fairness.scores import METRICS
from dermasense.evaluation.predictions import read_predictions
from dermasense.files import write_csv
from dermasense.provenance import commit, machine
from dermasense.run_folder import RunFolder

COLUMNS = (
    "dataset experiment attribute row value better metric number low high level by_chance differs"
)
COLUMNS = [*COLUMNS.split(), "pairs_that_differ", "n", "n_groups", "command", "commit", "machine"]


def rows(run: RunFolder, resamples: int) -> list[dict]:
    """Values, gaps and agreement of one run."""
    _, settings = run.read_config()
    table = read_predictions(run.predictions("test"))
    about = {"dataset": settings["data"]["name"], "experiment": settings["name"]}
    found = []
    for attribute, each in by_attribute(table, resamples=resamples).items():
        base = about | {"attribute": attribute}
        for value, row in each["values"].items():
            for metric in METRICS:
                found.append(
                    base | {"row": "value", "value": value} | _interval(metric, row[metric])
                )
        for metric, gap in each["gaps"].items():
            pairs = "; ".join(f"{one['worse']} < {one['better']}" for one in gap["differences"])
            name = {"row": "gap", "value": gap["worse"], "better": gap["better"]}
            ends = {"number": gap["value"], "low": gap["low"], "high": gap["high"]}
            more = {"level": gap["level"], "by_chance": gap["by_chance"], "differs": gap["differs"]}
            counts = {"n": sum(row[metric]["n"] for row in each["values"].values())}
            counts["n_groups"] = table.n_groups
            found.append(
                base | name | {"metric": metric, "pairs_that_differ": pairs} | ends | more | counts
            )
        for name in ("exact", "within_one", "same_band") if "agreement" in each else ():
            other = f"with {each['agreement']['with']}"
            line = _interval(name, each["agreement"][name])
            found.append(base | {"row": "agreement", "value": other} | line)
    return found


def _interval(metric: str, interval: dict) -> dict:
    ends = {"number": interval["value"], "low": interval["low"], "high": interval["high"]}
    return {"metric": metric, **ends, "n": interval["n"], "n_groups": interval["n_groups"]}


def _rounded(value):
    return round(value, 4) if isinstance(value, float) else "" if value is None else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fairness_groups.csv"))
    arguments = parser.parse_args()
    about = {
        "command": f"python benchmarks/fairness_groups.py {' '.join(map(str, arguments.runs))}"
    }
    about |= {"commit": commit(), "machine": machine()}
    found = [
        each | about for run in arguments.runs for each in rows(RunFolder(run), arguments.resamples)
    ]
    write_csv(
        arguments.out, [{c: _rounded(row.get(c, "")) for c in COLUMNS} for row in found], COLUMNS
    )
    print(f"{len(found)} rows in {arguments.out}")


if __name__ == "__main__":
    main()
