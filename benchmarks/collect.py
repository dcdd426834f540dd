"""Rows of finished runs for benchmarks/results/*.csv, made from the runs' own files.

    python benchmarks/collect.py outputs/... --out benchmarks/results/ham10000.csv

A row of the same command and split is replaced, others stay. The predictions tables of the rows are
copied to benchmarks/results/predictions/ (logits rounded to half precision, no images), so that
anyone can compute every figure again.
"""

import argparse
import hashlib
import shlex
from pathlib import Path

import numpy as np
import yaml
from result_rows import write_beside

from dermasense.evaluation.predictions import read_predictions, write_predictions
from dermasense.files import read_json
from dermasense.run_folder import RunFolder

SCORES = (
    "n n_groups top1 top2 balanced_accuracy macro_f1 weighted_f1 kappa auroc_macro nll ece".split()
)
COLUMNS = [
    "dataset",
    "experiment",
    "protocol",
    "split",
    "backbone",
    "input_size",
    *SCORES,
    "seconds",
    "command",
    "commit",
    "machine",
    "predictions",
]


def row(run: RunFolder, tables: Path) -> dict:
    """The test row of a finished run, its predictions copied into `tables`."""
    _, settings = run.read_config()
    metrics, environment = read_json(run.metrics), read_json(run.environment)
    key = hashlib.blake2b(run.config.read_bytes(), digest_size=4).hexdigest()
    name = f"{settings['name']}_{settings['split']['by']}_{key}.parquet"
    test = read_predictions(run.predictions("test"))
    columns = ["image_id", "group", "label"]
    write_predictions(
        tables / name, test.frame[columns], test.logits.astype(np.float16), test.class_names
    )
    return {
        "dataset": settings["data"]["name"],
        "experiment": settings["name"],
        "protocol": metrics["protocol"],
        "split": "test",
        "backbone": settings["model"]["backbone"],
        "input_size": settings["model"]["image_size"],
        **{score: _rounded(metrics["test"][score]) for score in SCORES},
        "seconds": read_json(run.finished)["seconds"],
        "command": _without_places(environment["command"]),
        "commit": environment["commit"],
        "machine": environment["machine"],
        "predictions": f"predictions/{name}",
    }


def _rounded(value: float | int | None) -> float | int | None:
    return round(value, 4) if isinstance(value, float) else value


def _without_places(command: str) -> str:
    """The command without where things lay on this machine."""
    words = [word for word in shlex.split(command) if not word.startswith("hydra.run.dir=")]
    return shlex.join("data.root=DIR" if w.startswith("data.root=") else w for w in words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    new = [row(RunFolder(run), arguments.out.parent / "predictions") for run in arguments.runs]
    write_beside(arguments.out, new, COLUMNS, same=("command", "split"))
    print(yaml.safe_dump(new, sort_keys=False))


if __name__ == "__main__":
    main()
