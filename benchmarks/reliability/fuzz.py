"""Pictures, tables, bundles and options that nobody should give: each is taken or refused in a
sentence.

    python benchmarks/reliability/fuzz.py [--examples 2000] [--targets pictures tables ...]
    python benchmarks/reliability/fuzz.py --targets bundles --only 317    # one input again

Input k of a target is drawn from (target, k) alone. A process walks a hundred; where it dies of a
signal that is a crash of the input it was at, and the next goes on behind it. Writes a row a target
into benchmarks/results/fuzz.csv; rows of other targets stay. Everything is drawn by a program.
"""

import argparse
import io
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from fuzz_inputs import TARGETS

from dermasense.errors import DermaSenseError
from dermasense.files import read_csv, write_csv
from dermasense.provenance import commit, machine

SCRIPT = __file__
RESULTS = Path(__file__).parents[1] / "results" / "fuzz.csv"
COLUMNS = ["target", "tried", "refused", "crashes", "hangs", "tracebacks", "http_500", "peak_mb"]
COLUMNS += ["seconds", "command", "commit", "machine"]
HANG, CHUNK = 10, 100  # seconds; inputs a process


class Hang(BaseException):
    """An input took longer than `HANG` seconds."""


def attempt(target: str, number: int, work: Path, limit: int = HANG) -> tuple[str, str]:
    """How one input ends: "taken", "refused", "hang" or "traceback", and what was said."""

    def ring(*_):
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    said = io.StringIO()
    signal.alarm(limit)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said):
            TARGETS[target](random.Random(f"{target} {number}"), work)
        how, words = "taken", ""
    except DermaSenseError as error:
        how, words = "refused", str(error)
    except SystemExit as end:
        words = said.getvalue()
        fine = end.code in (0, 2) and "Traceback" not in words
        how = ("refused" if end.code else "taken") if fine else "traceback"
    except Hang:
        how, words = "hang", ""
    except Exception:
        how, words = "traceback", traceback.format_exc()
    finally:
        signal.alarm(0)
    if "\n" in words.strip() and how == "refused" and target != "options":
        how = "traceback"  # a refusal is one sentence
    return how, words


def walk(target: str, first: int, last: int, said: Path) -> None:
    """Tries inputs first to last - 1 and notes each in a line of `said`, before and after."""
    import resource

    with tempfile.TemporaryDirectory() as work, open(said, "a", encoding="utf-8") as notes:
        for number in range(first, last):
            print(json.dumps({"begun": number}), file=notes, flush=True)
            limit = HANG + 60 * (number == first)  # the first one imports everything
            how, words = attempt(target, number, Path(work), limit)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            note = {"ended": number, "how": how, "said": words[-1500:], "peak_mb": peak}
            print(json.dumps(note), file=notes, flush=True)
            if how == "hang":  # it may have been cut amid an import: the next process goes on
                return


def fuzz(target: str, examples: int, start: int = 0) -> dict:
    """Walks a target; what it found, with the inputs that are faults under "faults"."""
    began, notes, first = time.monotonic(), [], start
    crashes = []
    with tempfile.TemporaryDirectory() as folder:
        while first < start + examples:
            said = Path(folder) / f"{first}.jsonl"
            last = min(first + CHUNK, start + examples)
            words = [sys.executable, SCRIPT, "--targets", target, "--walk", str(first), str(last)]
            done = subprocess.run([*words, "--said", str(said)], stdout=subprocess.DEVNULL)
            lines = [json.loads(line) for line in said.read_text(encoding="utf-8").splitlines()]
            ended = [line for line in lines if "ended" in line]
            notes += ended
            first = ended[-1]["ended"] + 1 if ended else first
            if done.returncode:  # it died at the input that it had begun
                crashes.append(lines[-1]["begun"])
                first = crashes[-1] + 1
    faults = [note for note in notes if note["how"] in ("hang", "traceback")]
    return {
        "target": target,
        "tried": len(notes) + len(crashes),
        "refused": sum(note["how"] == "refused" for note in notes),
        "crashes": len(crashes),
        "hangs": sum(note["how"] == "hang" for note in notes),
        "tracebacks": sum(note["how"] == "traceback" for note in notes),
        "peak_mb": max(note["peak_mb"] for note in notes),
        "seconds": round(time.monotonic() - began),
        "faults": [*faults, *({"ended": number, "how": "crash", "said": ""} for number in crashes)],
    }


def write_rows(results: Path, rows: list[dict], command: str) -> None:
    """Puts rows into the table in the place of those of the same targets."""
    facts = {"command": command, "commit": commit(), "machine": machine()}
    standing = read_csv(results, missing_ok=True)
    kept = [each for each in standing if each["target"] not in {row["target"] for row in rows}]
    whole = [dict.fromkeys(COLUMNS, "") | each for each in [*kept, *(row | facts for row in rows)]]
    write_csv(results, whole, COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2000, help="inputs of each target")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, help="number of the one input to try")
    parser.add_argument("--walk", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--said", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.walk:
        walk(given.targets[0], *given.walk, given.said)
        return
    if given.only is not None:
        with tempfile.TemporaryDirectory() as work:
            print(*attempt(given.targets[0], given.only, Path(work)), sys.argv, sep="\n")
        return
    command = f"python benchmarks/reliability/fuzz.py --examples {given.examples} --targets"
    clean = True
    for target in given.targets:
        row = fuzz(target, given.examples, given.start)
        faults = row.pop("faults")
        clean &= not faults
        print(row, flush=True)
        for fault in faults:
            print(f"  {target} {fault['ended']}: {fault['how']}\n{fault['said']}", flush=True)
        write_rows(given.results, [row], f"{command} {target}")
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
