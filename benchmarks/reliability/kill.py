"""kill -9 at random moments of a command's whole life, then on with it, and what it ends with.

    python benchmarks/reliability/kill.py [--kills 50] [--tasks train workers ...] [--jobs 2]

Each task runs once undisturbed; then, for each kill, anew from nothing with a cache of its own. The
moment is drawn over the whole life, from the start of Python to the last table, so that drawing and
decoding pictures, computing activations, every phase, the test and the report are cut. All its
processes die at once. Everything is drawn by a program. Writes benchmarks/results/kill.csv, a row a
kill: `bit_equal` is whether all compared files are those of the undisturbed run, byte by byte.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dermasense.files import read_csv, write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parents[1] / "results" / "kill.csv"
LIMIT = 600  # seconds after which a resumed command counts as hung

SMALL = ["data.n_lesions=100", "data.image_px=48", "model.image_size=32", "weights=none"]
SMALL += ["batch_size=8", "ema_decay=0.9", "checkpoint.every_n_steps=2", "logger=none"]
SMALL += ["phases.frozen.epochs=1", "phases.finetune.epochs=2", "trainer.accelerator=cpu"]
RUN = ["history.csv", "metrics.json", "predictions_val.parquet", "predictions_test.parquet"]
RUN += ["bundle/model.safetensors"]
FOLDS = [f"fold_{fold}/{name}" for fold in range(2) for name in RUN]
TRIALS = [f"{trial}/{name}" for trial in range(2) for name in RUN]


@dataclass(frozen=True)
class Task:
    """A command that is killed.

    Attributes:
        module: its name without `dermasense.`.
        words: its options.
        place: the option that says where it writes.
        compared: files that must end equal, relative to that folder.
        share: of the kills asked for that this task gets.
        begun: a file by which a folder is resumed by resume=; without it by the same command.
    """

    module: str
    words: Sequence[str]
    compared: Sequence[str]
    place: str = "hydra.run.dir"
    share: float = 0.2
    begun: Sequence[str] = ("config.yaml",)


TASKS = {
    "train": Task("train", [*SMALL, "num_workers=0"], RUN, share=1),
    "workers": Task("train", [*SMALL, "num_workers=2"], RUN),
    "cached": Task(
        "train", [*SMALL, "num_workers=0", "cache=boundary", "cache.views=2", "balance=smote"], RUN
    ),
    "processes": Task("train", [*SMALL, "num_workers=0", "trainer.devices=2"], RUN),
    "cross_validate": Task(
        "cross_validate",
        [*SMALL, "num_workers=0", "folds=2"],
        ["predictions_oof.parquet", "folds.csv", *FOLDS],
        begun=["cross_validation.json"],
    ),
    "sweep": Task(
        "train",
        ["--multirun", *SMALL, "num_workers=0", "seed=0,1"],
        TRIALS,
        place="hydra.sweep.dir",
        begun=[],
    ),
}


class Life:
    """One life of a command, with a folder and a cache of its own.

    Args:
        task: what runs.
        work: where; emptied.
    """

    def __init__(self, task: Task, work: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        self.task, self.folder, self.cache = task, work / "run", work / "cache"
        self.said = work / "said.txt"

    def start(self) -> subprocess.Popen:
        words = [*self.task.words, f"{self.task.place}={self.folder}"]
        if any((self.folder / begun).exists() for begun in self.task.begun):
            words = [f"resume={self.folder}"]
        with open(self.said, "ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", f"dermasense.{self.task.module}", *words],
                stdout=subprocess.DEVNULL,
                stderr=said,
                env={**os.environ, "DERMASENSE_CACHE": str(self.cache), "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

    def end(self) -> int | None:
        """Starts it and waits; its exit code, None where it hangs."""
        process = self.start()
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            kill(process)
            return None

    def stage(self) -> str:
        """What it was doing, by the files that lie there."""

        def some(pattern: str, folder: Path = self.folder) -> bool:
            return next(folder.glob(pattern), None) is not None

        if some("**/report.html"):
            return "after a report"
        if some("**/predictions_*.parquet"):
            return "after a table of predictions"
        if some("**/history.csv"):
            epochs = sum(len(read_csv(file)) for file in self.folder.glob("**/history.csv"))
            return f"after {epochs} epoch{'s' * (epochs > 1)}"
        if some("**/last.ckpt"):
            return "in the first epoch"
        if some("activations-*", self.cache):
            return "computing activations"
        if some("**/lesions.csv", self.cache):
            return "decoding, or before the first checkpoint"
        if some("**/.*.tmp", self.cache):
            return "drawing pictures"
        return "starting"

    def same(self, other: "Life") -> bool:
        pairs = [(self.folder / name, other.folder / name) for name in self.task.compared]
        return all(a.is_file() and a.read_bytes() == b.read_bytes() for a, b in pairs)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to the process and all it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def one_kill(task: Task, work: Path, whole: Life, moment: float) -> dict:
    """Kills a life at a moment, in seconds, and lets the same command end it."""
    life = Life(task, work)
    process = life.start()
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        kill(process)
    else:  # it was quicker than the undisturbed one
        return {}
    row = {"seconds": round(moment, 2), "stage": life.stage()}
    began = time.monotonic()
    code = life.end()
    row["resumed_seconds"] = round(time.monotonic() - began, 1)
    row["exit"] = "hung" if code is None else code
    row["tracebacks"] = life.said.read_text(errors="replace").count("Traceback")
    row["bit_equal"] = code == 0 and life.same(whole)
    if row["bit_equal"]:
        shutil.rmtree(work)
    return row


def killed(name: str, kills: int, work: Path, jobs: int, seed: int) -> list[dict]:
    """A row a kill of one task.

    Raises:
        SystemExit: the undisturbed run fails.
    """
    task = TASKS[name]
    whole = Life(task, work / name / "whole")
    began = time.monotonic()
    if whole.end() != 0:
        raise SystemExit(f"{name}: the undisturbed run fails: {whole.said.read_text()[-2000:]}")
    length = time.monotonic() - began
    draw, rows = random.Random(f"{name} {seed}"), []
    with ThreadPoolExecutor(jobs) as pool:
        while len(rows) < kills:
            moments = [draw.uniform(0, length) for _ in range(kills - len(rows))]
            places = [work / name / f"{len(rows) + n}" for n in range(len(moments))]
            made = pool.map(
                lambda at: one_kill(task, at[0], whole, at[1]), zip(places, moments, strict=True)
            )
            for found in made:
                if found:
                    rows.append(
                        {"task": name, "kill": len(rows), "life_seconds": round(length, 1)} | found
                    )
                    print("  ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of training; the others get a fifth")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--jobs", type=int, default=2, help="lives at once")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--work", type=Path, default=Path("outputs/kill"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = read_csv(options.results, missing_ok=True)
    rows = [row for row in rows if row["task"] not in options.tasks]
    made = []
    command = f"python benchmarks/reliability/kill.py --kills {options.kills} --seed {options.seed}"
    facts = {"command": command, "commit": commit(), "machine": machine()}
    for name in options.tasks:
        kills = max(1, round(TASKS[name].share * options.kills))
        found = killed(name, kills, options.work.resolve(), options.jobs, options.seed)
        made += [row | facts for row in found]
        write_csv(options.results, [*rows, *made], list(made[0]))
    equal = sum(row["bit_equal"] for row in made)
    print(f"{equal} of {len(made)} ended as the undisturbed run, byte by byte")
    sys.exit(0 if equal == len(made) else 1)


if __name__ == "__main__":
    main()
