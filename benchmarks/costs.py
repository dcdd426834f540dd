"""What a command costs: seconds, processor time and memory, of it and all it starts (Linux)."""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """Of one process and all its children.

    Attributes:
        seconds: wall-clock, from the start of Python to its end.
        cpu_seconds: processor time, user and system, over all cores.
        peak_mib: highest sum of memory, shared pages counted once (proportional set size).
        peak_anonymous_mib: the same without pages of files, which the system can take back.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    peak_anonymous_mib: float


def cost_of(module: str, *words: str) -> Cost:
    """Runs `python -m <module> <words>` to its end.

    Raises:
        SystemExit: where it fails; with what it said.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words], stdout=subprocess.DEVNULL, stderr=said
        )
        total = anonymous = 0.0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            one, other = _memory(process.pid)
            total, anonymous = max(total, one), max(anonymous, other)
            # To look takes milliseconds of one core: a hundredth of a long command's time.
            time.sleep(min(1.0, max(0.05, (time.perf_counter() - start) / 100)))
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(
                f"{module} {' '.join(words)}: exit {process.returncode}\n{said.read()}"
            )
    return Cost(seconds, usage.ru_utime + usage.ru_stime, total, anonymous)


def _memory(pid: int) -> tuple[float, float]:
    """MiB of a process and its descendants, in all and without pages of files."""
    total = anonymous = 0.0
    for each in [pid, *_descendants(pid)]:
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:  # it has ended meanwhile
            continue
        kib = {
            key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines)
        }
        total += kib.get("Pss", 0) / 1024
        anonymous += kib.get("Pss_Anon", 0) / 1024
    return total, anonymous


def _descendants(pid: int) -> list[int]:
    found = []
    try:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    except OSError:  # it has ended meanwhile
        pass
    return found
