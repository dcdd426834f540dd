"""Ten commands at once on one cache, one run folder, one cut run, one sweep folder.

    python benchmarks/reliability/race.py [--processes 10] [--tasks cache run resume sweep]

One wins or all share: each command either ends as one that was alone, byte by byte, or says in one
sentence that another is at work there or has finished, and leaves everything as it is. Everything
is drawn by a program. Writes benchmarks/results/race.csv, a row a task.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kill import RUN, SMALL, TRIALS

from dermasense.files import read_csv, write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parents[1] / "results" / "race.csv"
LIMIT = 900  # seconds after which the commands count as hung
CACHED = [*SMALL, "num_workers=0", "cache=boundary", "cache.views=2", "balance=smote"]
SWEEP = ["--multirun", *CACHED, "seed=0,1"]


def at_once(commands: Sequence[Sequence[str]], cache: Path) -> list[tuple[int | None, str]]:
    """Exit code (None where it hangs) and stderr of `dermasense.train` with each list of words."""
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(lambda words: end_of(words, cache), commands))


def end_of(words: Sequence[str], cache: Path) -> tuple[int | None, str]:
    process = start(words, cache)
    try:
        _, said = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
        return None, said
    return process.returncode, said


def start(words: Sequence[str], cache: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "dermasense.train", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "DERMASENSE_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        text=True,
    )


class Race:
    """Commands at once, held against one that was alone.

    Args:
        work: where everything is written.
        processes: how many at once.
    """

    def __init__(self, work: Path, processes: int) -> None:
        self.work, self.processes = work, processes

    def alone(self, name: str, words: Sequence[str]) -> Path:
        """What one command leaves that nobody disturbs, with a cache of its own.

        Raises:
            SystemExit: it fails.
        """
        folder = self.work / f"{name}_alone"
        if not folder.exists():
            [(code, said)] = at_once([[*words, f"out={folder}"]], self.work / f"{name}_alone_cache")
            if code != 0:
                raise SystemExit(f"{name}: undisturbed it fails: {said[-2000:]}")
        return folder

    def cache(self) -> dict:
        """Runs with folders of their own on one cache that is not there yet."""
        whole, cache = self.alone("run", CACHED), self.work / "shared_cache"
        places = [self.work / "cache" / str(number) for number in range(self.processes)]
        ends = at_once([[*CACHED, f"out={place}"] for place in places], cache)
        left = sum(1 for _ in cache.rglob(".*.tmp"))
        return self._row(ends, [(whole, place) for place in places], RUN) | {"left": left}

    def run(self) -> dict:
        """Runs in one folder."""
        whole, folder = self.alone("run", CACHED), self.work / "run"
        ends = at_once([[*CACHED, f"out={folder}"]] * self.processes, self.work / "run_cache")
        return self._row(ends, [(whole, folder)], RUN) | {"left": self._left(folder)}

    def resume(self) -> dict:
        """One run, killed between two checkpoints, that all go on with."""
        whole, folder = self.alone("run", CACHED), self.work / "resumed"
        process = start([*CACHED, f"out={folder}"], self.work / "run_cache")
        while process.poll() is None and not (folder / "checkpoints" / "previous.ckpt").exists():
            time.sleep(0.01)
        process.kill()
        process.communicate()
        ends = at_once([[f"resume={folder}"]] * self.processes, self.work / "run_cache")
        return self._row(ends, [(whole, folder)], RUN) | {"left": self._left(folder)}

    def sweep(self) -> dict:
        """One multirun, begun by all."""
        whole, folder = self.alone("sweep", SWEEP), self.work / "sweep"
        ends = at_once([[*SWEEP, f"out={folder}"]] * self.processes, self.work / "sweep_cache")
        compared = [*TRIALS, "0/.hydra/overrides.yaml"]
        return self._row(ends, [(whole, folder)], compared) | {"left": self._left(folder)}

    def _left(self, folder: Path) -> int:
        return sum(1 for _ in folder.rglob(".*.tmp"))

    def _row(
        self,
        ends: Sequence[tuple[int | None, str]],
        pairs: Sequence[tuple[Path, Path]],
        compared: Sequence[str],
    ) -> dict:
        told = [
            code == 2 and said.count("error: ") == 1 and said.strip().count("\n") == 0
            for code, said in ends
        ]
        done = [code == 0 for code, _ in ends]
        same = [
            (b / name).is_file() and (a / name).read_bytes() == (b / name).read_bytes()
            for a, b in pairs
            for name in compared
        ]
        for (code, said), fine in zip(ends, map(max, told, done), strict=True):
            if not fine:
                print(f"exit {code}: {said[-2000:]}", file=sys.stderr)
        return {
            "processes": len(ends),
            "finished": sum(done),
            "refused_in_a_sentence": sum(told),
            "otherwise": len(ends) - sum(done) - sum(told),
            "tracebacks": sum("Traceback" in said for _, said in ends),
            "bit_equal": all(same) and any(done),
        }


TASKS = {"cache": Race.cache, "run": Race.run, "resume": Race.resume, "sweep": Race.sweep}


def held(row: dict) -> bool:
    """Whether nothing of a row is wrong."""
    return row["bit_equal"] and not (row["otherwise"] or row["tracebacks"] or row["left"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    command = f"python benchmarks/reliability/race.py --processes {options.processes}"
    facts = {"command": command, "commit": commit(), "machine": machine()}
    rows = read_csv(options.results, missing_ok=True)
    rows = [row for row in rows if row["task"] not in options.tasks]
    made = []
    with tempfile.TemporaryDirectory() as work:
        race = Race(Path(work), options.processes)
        for name in options.tasks:
            began = time.monotonic()
            row = {"task": name} | TASKS[name](race)
            row["seconds"] = round(time.monotonic() - began, 1)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            made.append(row | facts)
            write_csv(options.results, [*rows, *made], list(made[0]))
    sys.exit(0 if all(map(held, made)) else 1)


if __name__ == "__main__":
    main()
