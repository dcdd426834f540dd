"""A whole schedule of phases on the ordinary path and on cached activations, in turns.

    python benchmarks/schedule.py <data.root> [--experiment b1_se_lite] [--seeds 0 1 2] [--views 2]
        [--phases progressive] [overrides of dermasense.train ...]

Each run is a process of its own: its seconds are those of a person at the shell, from the start of
Python to the last table, computing the activations included (they are deleted before each cached
run). Pictures are decoded beforehand. Early stopping is off, so that both paths walk all epochs.
Writes benchmarks/results/schedule.csv: a row a seed, then medians; rows of other data and other
experiments stay.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml
from result_rows import write_beside

from dermasense.files import read_json
from dermasense.hydra_words import conf_folder
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).parent / "results" / "schedule.csv"
# The ordinary path as it is without `freed_memory_kept`.
RETURNED = """
import contextlib, runpy
import dermasense.experiment
dermasense.experiment.freed_memory_kept = contextlib.nullcontext
runpy.run_module("dermasense.train", run_name="__main__")
"""
METRICS = ("top1", "balanced_accuracy", "macro_f1", "nll")


class Bench:
    """Runs of one experiment that differ in seed and cache alone.

    Args:
        overrides: of `dermasense.train`, the same for all runs.
        work: folder of the runs and the caches.
    """

    def __init__(self, overrides: list[str], work: Path) -> None:
        self.overrides, self.work, self.cache = overrides, work, work / "cache"

    def warm_up(self) -> None:
        """Decodes the pictures and fills the system's file cache."""
        self.run("warm", 0, ["phases=frozen", "debug=limit", "cache=none"])

    def run(self, name: str, seed: int, more: list[str], *, returned: bool = False) -> dict:
        """Seconds, epochs and validation metrics of one run."""
        for file in self.cache.glob("activations-*"):
            file.unlink()
        folder = self.work / f"{name}_{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        start = ["-c", RETURNED] if returned else ["-m", "dermasense.train"]
        command = [sys.executable, *start, *self.overrides, *more]
        command += [f"seed={seed}", f"cache_dir={self.cache}", f"hydra.run.dir={folder}"]
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - begun
        scores = read_json(folder / "metrics.json")["val"]
        return {
            "seconds": round(seconds, 1),
            "epochs": len(pd.read_csv(folder / "history.csv")),
            "n_train": int((pd.read_csv(folder / "splits.csv")["split"] == "train").sum()),
            "cache_gb": round(sum(f.stat().st_size for f in self.cache.glob("act*")) / 1e9, 2),
            **{metric: round(scores[metric], 4) for metric in METRICS},
        }


def compare(bench: Bench, seeds: list[int], views: int, returned: Sequence[int] = ()) -> list[dict]:
    """A row a seed, the paths in turns, then a row of medians.

    Seeds of `returned` have the ordinary path with freed memory returned, too.
    """
    rows = []
    paths = {"ordinary": ["cache=none"], "cached": ["cache=boundary", f"cache.views={views}"]}
    for number, seed in enumerate(seeds):
        order = list(paths) if number % 2 == 0 else list(paths)[::-1]
        found = {path: bench.run(path, seed, paths[path]) for path in order}
        row = {"seed": seed, "epochs": found["cached"]["epochs"]}
        assert row["epochs"] == found["ordinary"]["epochs"]
        row |= {key: found["cached"][key] for key in ("n_train", "cache_gb")}
        for value in ("seconds", *(f"val_{metric}" for metric in METRICS)):
            for path in paths:
                row[f"{path}_{value}"] = found[path][value.removeprefix("val_")]
        row["ratio"] = round(row["ordinary_seconds"] / row["cached_seconds"], 2)
        row |= {"returned_seconds": "", "returned_ratio": ""}
        if seed in returned:
            seconds = bench.run("returned", seed, paths["ordinary"], returned=True)["seconds"]
            row["returned_seconds"] = seconds
            row["returned_ratio"] = round(seconds / row["cached_seconds"], 2)
        rows.append(row)
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    middle = {}
    for key in rows[0]:
        found = [row[key] for row in rows if row[key] != ""]
        middle[key] = round(statistics.median(found), 4) if found else ""
    return [*rows, {**middle, "seed": "median"}]


def no_early_stopping(phases: str) -> list[str]:
    """Overrides that let every phase walk all its epochs."""
    names = yaml.safe_load((conf_folder() / "phases" / f"{phases}.yaml").read_text())
    return [f"++phases.{name}.patience=null" for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="folder of the experiment's data")
    parser.add_argument("--experiment", default="b1_se_lite")
    parser.add_argument("--phases", default="progressive", help="conf/phases/<name>.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--returned", type=int, nargs="+", default=[], help="seeds, see above")
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--work", help="folder for runs and caches; kept. A temporary one else")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options, extra = parser.parse_known_args()
    shared = [f"experiment={options.experiment}", f"phases={options.phases}", "logger=none", *extra]
    overrides = [*shared, f"data.root={options.root}"]
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(overrides, Path(options.work or temporary).resolve())
        bench.warm_up()
        bench.overrides += no_early_stopping(options.phases)
        rows = compare(bench, options.seeds, options.views, options.returned)
    # Named by its last folder: where the images lie on this machine is nobody's business.
    command = (
        f"python benchmarks/schedule.py <folder>/{Path(options.root).name} "
        f"--experiment {options.experiment} --phases {options.phases} "
        f"--seeds {' '.join(map(str, options.seeds))} --views {options.views} "
    )
    if options.returned:
        command += f"--returned {' '.join(map(str, options.returned))} "
    command = (command + " ".join(extra)).strip()
    about = {"dataset": Path(options.root).name, "experiment": options.experiment}
    about |= {"phases": options.phases, "views": options.views, "overrides": " ".join(extra)}
    end = {"command": command, "commit": commit(), "machine": machine()}
    rows = [about | row | end for row in rows]
    write_beside(options.results, rows, list(rows[0]), same=("dataset", "experiment"))
    print(f"median ratio {rows[-1]['ratio']}: {options.results}")


if __name__ == "__main__":
    main()
