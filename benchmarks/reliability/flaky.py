"""The tests again and again, their files in another order each time.

    python benchmarks/reliability/flaky.py [--repeats 20] [--processes 2] [words of pytest ...]

A test that fails in one repeat and passes in another is flaky; so is one that fails by what ran
before it in the same process. The words go to pytest as they are typed, such as -m "not slow".
Writes benchmarks/results/flaky.csv, a row a repeat as it ends; the same command goes on behind the
rows that it has written on this commit, and rows of other words stay. Exit code 1 where any test
failed.
"""

import argparse
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from dermasense.files import read_csv, write_csv
from dermasense.provenance import commit, machine

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "flaky.csv"


def repeat(seed: int, processes: int, words: list[str]) -> dict:
    """What one walk through the tests ends with, the files shuffled by `seed`.

    Raises:
        SystemExit: pytest does not come to an end of its own.
    """
    files = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("test_*.py"))
    random.Random(seed).shuffle(files)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command += ["-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]
        begun = time.perf_counter()
        process = subprocess.run(
            [*command, *words, *files], cwd=ROOT, capture_output=True, text=True
        )
        if process.returncode not in (0, 1):
            raise SystemExit(f"pytest ended with {process.returncode}: {process.stdout[-2000:]}")
        seconds = time.perf_counter() - begun
        ends = outcomes(ElementTree.parse(report))
    counts = Counter(ends.values())
    return {
        "repeat": seed,
        **{name: counts[name] for name in ("passed", "failed", "skipped")},
        "failed_tests": " ".join(sorted(test for test, end in ends.items() if end == "failed")),
        "seconds": round(seconds),
    }


def outcomes(report: ElementTree.ElementTree) -> dict[str, str]:
    """By the name of a test "passed", "failed" or "skipped"; an error counts as a failure."""
    ends = {}
    for case in report.iter("testcase"):
        tags = {child.tag for child in case}
        name = f"{case.get('classname')}::{case.get('name')}"
        if tags & {"failure", "error"} or ends.get(name) == "failed":  # a teardown counts too
            ends[name] = "failed"
        else:
            ends[name] = "skipped" if "skipped" in tags else "passed"
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args, words = parser.parse_known_args()
    facts = {
        "command": shlex.join(["python", "benchmarks/reliability/flaky.py", *words]),
        "commit": commit(),
        "machine": machine(),
    }
    known = read_csv(args.results, missing_ok=True)
    others = [row for row in known if row["command"] != facts["command"]]
    rows = [row for row in known if all(row[name] == fact for name, fact in facts.items())]
    for seed in range(len(rows), args.repeats):
        rows.append({**repeat(seed, args.processes, words), **facts})
        print(rows[-1], flush=True)
        write_csv(args.results, [*others, *rows], list(rows[-1]))
    raise SystemExit(int(any(int(row["failed"]) for row in rows)))


if __name__ == "__main__":
    main()
