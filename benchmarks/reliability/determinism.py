"""What the same command ends with again, and with other workers, threads and processes.

    python benchmarks/reliability/determinism.py [--tasks again workers threads ...]

Each task trains twice from nothing, everything drawn by a program, and compares history, metrics,
predictions and weights byte by byte; where they may differ, by how much the test logits do.
Writes benchmarks/results/determinism.csv, a row a task.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from kill import RUN, SMALL

from dermasense.files import read_csv, write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parents[1] / "results" / "determinism.csv"
SAME, CLOSE, NONE = "the same bytes", "test logits within 0.01", "nothing"
TOLERANCE = 0.01


@dataclass(frozen=True)
class Way:
    """A way to run the command: its further options, and torch's threads."""

    words: Sequence[str] = ("num_workers=0",)
    threads: int = 1

    def __str__(self) -> str:
        return " ".join([*self.words, f"threads={self.threads}"])


CACHED = ("num_workers=0", "cache=boundary", "cache.views=2", "balance=smote")
FLOAT32 = ("num_workers=0", "trainer.precision=32-true")
# Name -> the two ways, and what is promised of their ends.
TASKS = {
    "again": (Way(), Way(), SAME),
    "again, two workers": (Way(("num_workers=2",)), Way(("num_workers=2",)), SAME),
    "again, two threads": (Way(threads=2), Way(threads=2), SAME),
    "again, cached": (Way(CACHED), Way(CACHED), SAME),
    "none and one worker": (Way(), Way(("num_workers=1",)), SAME),
    "none and two workers": (Way(), Way(("num_workers=2",)), SAME),
    "one thread and two": (Way(FLOAT32), Way(FLOAT32, threads=2), CLOSE),
    "one process and two": (Way(FLOAT32), Way((*FLOAT32, "trainer.devices=2")), NONE),
}


def run(way: Way, folder: Path) -> Path:
    """Trains; the run folder.

    Raises:
        SystemExit: it fails; with what it said.
    """
    threads = str(way.threads)
    done = subprocess.run(
        [sys.executable, "-m", "dermasense.train", *SMALL, *way.words, f"out={folder / 'run'}"],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "DERMASENSE_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
        },
    )
    if done.returncode:
        raise SystemExit(f"{way}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return folder / "run"


def compared(name: str, work: Path) -> dict:
    """The row of a task."""
    one, other, promised = TASKS[name]
    a, b = run(one, work / name / "one"), run(other, work / name / "other")
    same = [(a / file).read_bytes() == (b / file).read_bytes() for file in RUN]
    tables = [pd.read_parquet(folder / "predictions_test.parquet") for folder in (a, b)]
    logits = [
        table.sort_values("image_id").filter(regex="^logit").to_numpy(np.float64)
        for table in tables
    ]
    apart = np.abs(logits[0] - logits[1]).max()
    return {
        "task": name,
        "one": str(one),
        "other": str(other),
        "promised": promised,
        "bit_equal": all(same),
        "largest_logit_difference": float(f"{apart:.3g}"),
        "same_classes": bool((logits[0].argmax(1) == logits[1].argmax(1)).all()),
        "n": len(logits[0]),
        "kept": {SAME: all(same), CLOSE: bool(apart <= TOLERANCE), NONE: True}[promised],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    command = "python benchmarks/reliability/determinism.py"
    facts = {"command": command, "commit": commit(), "machine": machine()}
    rows = read_csv(options.results, missing_ok=True)
    rows = [row for row in rows if row["task"] not in options.tasks]
    made = []
    with tempfile.TemporaryDirectory() as work:
        for name in options.tasks:
            made.append(compared(name, Path(work)) | facts)
            print("  ".join(f"{k} {v}" for k, v in list(made[-1].items())[:9]), flush=True)
            write_csv(options.results, [*rows, *made], list(made[0]))
    sys.exit(0 if all(row["kept"] for row in made) else 1)


if __name__ == "__main__":
    main()
