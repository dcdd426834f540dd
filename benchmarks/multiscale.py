"""Several resolutions through one backbone, beside one resolution at the same cost: multiscale.csv.

    python benchmarks/multiscale.py <folder of HAM10000> [--sides 160 192] [--folds 5]

For each side S, on the same folds, a head on cached vectors of the frozen EfficientNet-Lite0:

- `concat`, `mean`: the picture at S and at S / 2, features joined or averaged, 1.25 times the cost;
- `plain`: one look at the side that costs the same, as near as may be; GFLOPs stand in each row.

Scores are out of fold with intervals over lesions; gains are to `plain` on the same images.
"""

import argparse
import tempfile
from pathlib import Path

from costs import cost_of
from network_costs import built, gflops

from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.compare import differences
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.files import write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parent / "results" / "multiscale.csv"
METRICS = ("top1", "balanced_accuracy", "macro_f1", "nll")
TRAIN = ["phases=frozen", "head=linear", "augment=none", "cache=boundary", "batch_size=128"]
TRAIN += ["phases.frozen.epochs=30", "optimizer.weight_decay=0.01", "logger=none"]
STEP = 8  # sides that are tried for the one look


def networks(side: int) -> dict[str, tuple[str, int]]:
    """What is compared at a side: name -> backbone and its side."""
    lite = "tf_efficientnet_lite0"
    wanted = gflops(*built(f"{lite}@concat:1+2", side))
    near = range(side // STEP * STEP, int(1.25 * side), STEP)
    plain = min(near, key=lambda own: abs(gflops(*built(lite, own)) - wanted))
    return {
        "plain": (lite, plain),
        "concat": (f"{lite}@concat:1+2", side),
        "mean": (f"{lite}@mean:1+2", side),
    }


def out_of_fold(words: list[str], folder: Path) -> tuple[Predictions, float]:
    """Predictions of a cross-validation, and its processor seconds."""
    cost = cost_of("dermasense.cross_validate", *words, f"hydra.run.dir={folder}")
    return read_predictions(folder / "predictions_oof.parquet"), cost.cpu_seconds


def compared(side: int, shared: list[str], work: Path, resamples: int) -> list[dict]:
    """A row a network."""
    rows, plain = [], None
    for name, (backbone, own) in networks(side).items():
        words = [*TRAIN, *shared, f"model.backbone='{backbone}'", f"model.image_size={own}"]
        table, seconds = out_of_fold(words, work / f"{name}_{own}")
        plain = plain or table
        found = intervals(table, resamples=resamples)
        gains = differences(plain, table, resamples=resamples) if name != "plain" else {}
        row = {"compared_at": side, "looks": name, "backbone": backbone, "input_size": own}
        row |= {"gflops": round(gflops(*built(backbone, own)), 3)}
        row |= {"cpu_seconds": round(seconds), "n": len(table.labels), "n_groups": table.n_groups}
        for metric in METRICS:
            row |= _three(metric, found[metric])
        for metric in METRICS:
            row |= _three(f"{metric}_gain", gains.get(metric))
        rows.append(row)
        print("  ".join(f"{key} {row[key]}" for key in list(row)[:12]), flush=True)
    return rows


def _three(name: str, found) -> dict:
    if found is None:
        return {f"{name}{end}": "" for end in ("", "_low", "_high")}
    values = (found.value, found.low, found.high)
    return {
        f"{name}{end}": round(float(value), 4)
        for end, value in zip(("", "_low", "_high"), values, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="folder of HAM10000")
    parser.add_argument("--sides", type=int, nargs="+", default=[160, 192])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options, extra = parser.parse_known_args()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        shared = ["data=ham10000", f"data.root={options.root}", f"folds={options.folds}"]
        shared += [f"cache_dir={work}/cache"]
        for side in options.sides:
            rows += compared(side, [*shared, *extra], Path(work), options.resamples)
    sides = " ".join(map(str, options.sides))
    command = f"python benchmarks/multiscale.py <folder>/{Path(options.root).name} --sides {sides} "
    command += " ".join([f"--folds {options.folds}", *extra])
    end = {"command": command, "commit": commit(), "machine": machine()}
    write_csv(options.results, [row | end for row in rows], [*rows[0], *end])


if __name__ == "__main__":
    main()
