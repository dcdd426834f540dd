"""Fifty trials over the head's hyperparameters, beside one ordinary run of the same phase.

    python benchmarks/head_sweep.py <data.root> [--image-size 144] [overrides of train ...]

The sweep is an ordinary Hydra multirun on cached activations, in one process; its seconds begin
with no activation computed, so the pass of the backbone is among them. The ordinary run reads,
augments and passes every picture through the backbone in each epoch (cache=none); fifty of it are
fifty times its seconds. Pictures are decoded beforehand for both. Early stopping is off.
Writes benchmarks/results/head_sweep.csv.
"""

import argparse
import math
import tempfile
from pathlib import Path

import pandas as pd
from costs import cost_of

from dermasense.files import write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).parent / "results" / "head_sweep.csv"
SPACE = {
    "phases.frozen.lr": "3e-4,1e-3,3e-3,1e-2,3e-2",
    "loss.gamma": "0,1,2,3,4",
    "balance": "none,sampler",
}
EXPERIMENT = ["experiment=b1_se_lite", "phases=frozen", "phases.frozen.patience=null"]


def measure(shared: list[str], space: dict[str, str], views: int, work: Path) -> dict:
    """Seconds of one ordinary run and of the whole sweep, and what both found."""
    ordinary, sweep, cache = work / "ordinary", work / "sweep", work / "cache"
    shared = [*EXPERIMENT, *shared, "logger=none", f"cache_dir={cache}"]
    train = "dermasense.train"
    plain = [*shared, "cache=none", "balance=none"]
    cost_of(train, *plain, "debug=limit", f"hydra.run.dir={work / 'warm'}")
    one = cost_of(train, *plain, f"hydra.run.dir={ordinary}")
    words = [f"{key}={values}" for key, values in ({"balance": "none"} | space).items()]
    words += ["cache=boundary", f"cache.views={views}", f"hydra.sweep.dir={sweep}"]
    many = cost_of(train, "--multirun", *shared, *words)
    table = pd.read_csv(sweep / "sweep.csv")
    trials = math.prod(len(values.split(",")) for values in space.values())
    if len(table) != trials or not (table["status"] == "finished").all():
        raise SystemExit(f"{sweep / 'sweep.csv'}: not all of {trials} trials finished.")
    activations = sum(file.stat().st_size for file in cache.glob("activations-*"))
    return {
        "trials": trials,
        "epochs": len(pd.read_csv(ordinary / "history.csv")),
        "views": views,
        "ordinary_seconds": round(one.seconds, 1),
        "ordinary_times_trials_seconds": round(trials * one.seconds),
        "sweep_seconds": round(many.seconds, 1),
        "seconds_a_trial": round(many.seconds / trials, 2),
        "speedup": round(trials * one.seconds / many.seconds, 1),
        "activations_mb": round(activations / 1e6),
        "best_val_top1": round(table["best_score"].max(), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="folder of the experiment's data")
    parser.add_argument("--image-size", type=int, default=144)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options, extra = parser.parse_known_args()
    shared = [f"model.image_size={options.image_size}", *extra]
    with tempfile.TemporaryDirectory() as work:
        row = measure([*shared, f"data.root={options.root}"], SPACE, options.views, Path(work))
    # Named by its last folder: where the images lie on this machine is nobody's business.
    name = Path(options.root).name
    command = ["python benchmarks/head_sweep.py", f"<folder>/{name}"]
    command += [f"--image-size {options.image_size}", f"--views {options.views}", *extra]
    about = {"dataset": name, "input_size": options.image_size}
    about["space"] = " ".join(f"{key}={values}" for key, values in SPACE.items())
    row = about | row | {"command": " ".join(command), "commit": commit(), "machine": machine()}
    write_csv(options.results, [row], list(row))
    print("\n".join(f"{key:30} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
