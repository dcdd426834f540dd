"""Rows of a stress test for benchmarks/results/stress.csv, from what the command wrote.

    python -m dermasense.stress bundle=RUN data=ham10000 data.root=DIR out=OUT
    python benchmarks/stress.py RUN OUT

A row a condition: score, loss against the clean pictures (paired), and for what hides the lesion
how much of the score above the blind answer is kept. How good the segmentation is goes into
benchmarks/results/lesion_mask.csv.
"""

import argparse
from pathlib import Path

from dermasense.files import read_json, write_csv
from dermasense.provenance import commit, machine
from dermasense.run_folder import RunFolder

METRICS = ("top1", "balanced_accuracy")
ENDS = {"": "value", "_low": "low", "_high": "high"}
COLUMNS = ["dataset", "experiment", "split", "protocol", "kind", "condition", "strength"]
COLUMNS += [f"{m}{of}{end}" for m in METRICS for of in ("", "_change", "_kept") for end in ENDS]
COLUMNS += ["other_answers", "answered_majority", "n", "n_groups", "command", "commit", "machine"]
MASK_COLUMNS = ["dataset", "what", "value", "low", "high", "n", "command", "commit", "machine"]


def rows(run: RunFolder, out: Path) -> list[dict]:
    """Clean, every corruption at every strength, every occlusion, and the blind answer."""
    _, settings = run.read_config()
    found = read_json(out / "stress.json")
    about = {
        "dataset": found["data"],
        "experiment": settings["name"],
        "split": "test",
        "protocol": found["protocol"],
        "n": found["n"],
        "n_groups": found["n_groups"],
        **_where(f"bundle={run.path} data={found['data']} data.root=DIR"),
    }
    table = [about | {"kind": "clean", "condition": "clean", **_cells(found["clean"])}]
    for name, each in found["corruptions"].items():
        for row in each["rows"]:
            here = {"kind": "corruption", "condition": name, "strength": row["strength"]}
            table.append(about | here | _cells(row))
    for name, row in found["occlusions"].items():
        table.append(about | {"kind": "occlusion", "condition": name} | _cells(row, kept=True))
    base = found["baseline"]
    blind = {metric: round(base[metric], 4) for metric in METRICS}
    table.append(about | {"kind": "blind", "condition": f"always {base['answer']}", **blind})
    return table


def mask_rows(out: Path) -> list[dict]:
    """The quality of the segmentation."""
    found = read_json(out / "stress.json")
    if not found["segmentation"]:
        return []
    drawn, where = found["segmentation"]["synthetic"], _where("bundle=RUN data=DATA")
    table = []
    for what, key in (("IoU, mean", "iou"), ("lesion under the mask and its margin", "covered")):
        ends = {end: round(drawn[key][end], 4) for end in ("value", "low", "high")}
        table.append({"dataset": "synthetic", "what": what, "n": drawn["n"], **ends, **where})
    for what, key in (("IoU, median", "iou_median"), ("share of IoU above .5", "above_half")):
        value = {"value": round(drawn[key], 4), "n": drawn["n"]}
        table.append({"dataset": "synthetic", "what": what, **value, **where})
    share = {"value": round(found["segmentation"]["found"], 4), "n": found["n"]}
    table.append({"dataset": found["data"], "what": "share with a lesion found", **share, **where})
    return table


def _where(words: str) -> dict:
    command = f"python -m dermasense.stress {words}"
    return {"command": command, "commit": commit(), "machine": machine()}


def _cells(row: dict, kept: bool = False) -> dict:
    cells: dict = {"other_answers": round(row["changed"], 4)}
    cells["answered_majority"] = round(row["answered_majority"], 4)
    for metric in METRICS:
        parts = {"": row[metric], "_change": row[metric]["change"]}
        if kept and row[metric]["kept"]:
            parts["_kept"] = row[metric]["kept"]
        for of, interval in parts.items():
            for end, key in ENDS.items():
                value = interval[key]
                cells[f"{metric}{of}{end}"] = "" if value is None else round(value, 4)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    table = rows(RunFolder(arguments.run), arguments.out)
    write_csv(arguments.folder / "stress.csv", table, COLUMNS)
    if masks := mask_rows(arguments.out):
        write_csv(arguments.folder / "lesion_mask.csv", masks, MASK_COLUMNS)


if __name__ == "__main__":
    main()
