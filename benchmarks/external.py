"""Rows of external tests for benchmarks/results/external.csv, from what the command wrote.

    python -m dermasense.external bundle=RUN data=isic2018 data.root=DIR out=OUT
    python benchmarks/external.py RUN OUT
    python benchmarks/external.py ENSEMBLE OUT --experiment ham_blocks_folds --views flips \
        --dataset ham10000 --internal ham10000_oof_ham_blocks_flips.parquet

A row a metric: external, internal, and external minus internal with its interval; groups of each
set drawn on their own. The external set chose nothing. Rows of other experiments stay. The answers
are kept too, in results/predictions: the network's own, so none where calibrated ones were judged.
"""

import argparse
from pathlib import Path

from result_rows import write_beside

from dermasense.evaluation.predictions import read_predictions, write_predictions
from dermasense.files import read_json
from dermasense.provenance import commit, machine
from dermasense.run_folder import RunFolder

ENDS = {"": "value", "_low": "low", "_high": "high"}
SETS = ("external", "internal", "change")
COLUMNS = ["dataset", "tested_on", "experiment", "views", "metric"]
COLUMNS += [f"{each}{end}" for each in SETS for end in ENDS]
COLUMNS += ["n", "n_internal", "command", "commit", "machine"]


def rows(found: dict, dataset: str, experiment: str, views: str, internal: str) -> list[dict]:
    """One row a metric that both sets have, of the command's metrics.json."""
    tested_on = found["protocol"].partition("(")[2].partition(")")[0]
    words = [f"bundle={experiment}", f"data={tested_on}", "data.root=DIR"]
    words += [f"tta.views={views}"] if views != "none" else []
    words += ["calibrated=true"] if found["calibrated"] else []
    words += [f"internal={internal}"] if internal else []
    about = {
        "dataset": dataset,
        "tested_on": tested_on,
        "experiment": experiment,
        "views": views,
        "command": f"python -m dermasense.external {' '.join(words)}",
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
    return {key: "" if value is None else round(value, 6) for key, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a run, or a bundle that no run has made")
    parser.add_argument("out", type=Path, help="what the command wrote")
    parser.add_argument("--experiment", help="of a bundle that no run has made")
    parser.add_argument("--dataset", help="that such a bundle was trained on")
    parser.add_argument("--internal", default="", help="name of the table that it was set beside")
    parser.add_argument("--views", default="none")
    parser.add_argument("--table", type=Path, default=Path("benchmarks/results/external.csv"))
    asked = parser.parse_args()
    if bool(asked.experiment) != bool(asked.dataset):
        parser.error("--experiment and --dataset: both, or neither for a run.")
    name, dataset = asked.experiment, asked.dataset
    if not name:
        settings = RunFolder(asked.bundle).read_config()[1]
        name, dataset = settings["name"], settings["data"]["name"]
    metrics = read_json(asked.out / "metrics.json")
    if "change" not in metrics:
        raise SystemExit(f"{asked.out}: nothing to set beside; give dermasense.external internal=")
    found = rows(metrics, dataset, name, asked.views, asked.internal)
    write_beside(asked.table, found, COLUMNS, ("dataset", "tested_on", "experiment", "views"))
    if not metrics["calibrated"]:
        file = f"{found[0]['tested_on']}_{name}.parquet"
        answers = read_predictions(asked.out / "predictions.parquet")
        frame = answers.frame[["image_id", "group", "label"]]
        place = asked.table.parent / "predictions" / file
        write_predictions(place, frame, answers.logits, answers.class_names)


if __name__ == "__main__":
    main()
