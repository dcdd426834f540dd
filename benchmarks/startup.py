"""How long a person waits: for --help, and for the first training step of the quickstart.

    python benchmarks/startup.py [--repeats 7]

Both from the shell, with decoded pictures there. The first step is taken to be over when its
checkpoint lies on disk (checkpoint.every_n_steps=1), a little later than the step itself.
Writes benchmarks/results/startup.csv.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from costs import cost_of

from dermasense.files import write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).parent / "results" / "startup.csv"
GOALS = {"--help": 2.5, "first step of quickstart": 12.0}


def first_step(work: Path, number: int) -> float:
    """Seconds from the shell to the first checkpoint; the run is stopped then."""
    run = work / f"run_{number}"
    words = [f"cache_dir={work / 'cache'}", f"hydra.run.dir={run}", "checkpoint.every_n_steps=1"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "dermasense.train", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not any(run.glob("checkpoints/*.ckpt")):
        if process.poll() is not None:
            raise SystemExit(f"{run}: ended before its first step.")
        time.sleep(0.01)
    seconds = time.perf_counter() - start
    process.kill()
    process.wait()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    helps = [cost_of("dermasense.train", "--help").seconds for _ in range(options.repeats)]
    with tempfile.TemporaryDirectory() as work:
        first_step(Path(work), 0)  # decodes the pictures
        steps = [first_step(Path(work), 1 + n) for n in range(options.repeats)]
    rows = []
    for (name, goal), seconds in zip(GOALS.items(), (helps, steps), strict=True):
        median = statistics.median(seconds)
        row = {"name": name, "seconds": round(median, 2), "slowest": round(max(seconds), 2)}
        row |= {"goal_seconds": goal, "ratio": round(goal / median, 2), "repeats": len(seconds)}
        command = f"python benchmarks/startup.py --repeats {options.repeats}"
        rows.append(row | {"command": command, "commit": commit(), "machine": machine()})
        print("  ".join(f"{key} {row[key]}" for key in list(row)[:6]))
    write_csv(options.results, rows, list(rows[0]))


if __name__ == "__main__":
    main()
