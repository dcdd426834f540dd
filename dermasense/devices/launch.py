"""Several processes for one run: started by process 0, watched, and ended with it.

Lightning's own launcher runs the command line again in each process, and Hydra then makes a run
folder in each. Here a process is told the run folder alone and reads the settings there. Process 0
has written and cached everything by then, so the others build nothing twice.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import distributed as dist

from dermasense.data.shard import WHOLE, Shard
from dermasense.errors import DermaSenseError
from dermasense.provenance import shell_line
from dermasense.training.ddp import leave
from dermasense.training.process_group import joined

WORKER = "dermasense.devices.worker"
MOMENT = 5.0  # seconds in which the cause of a broken connection shows
GRACE = 60.0  # seconds after which a process that waits for a dead one in vain ends itself
# What torch and its backends say where another process is gone or silent.
LOST = re.compile("gloo|nccl|connection|broken pipe|socket|timed out|store", re.IGNORECASE)


@contextlib.contextmanager
def together(run: Path, world: int, device: str, timeout: float) -> Iterator[Shard]:
    """Trains and judges with `world` processes while the block runs; this one is process 0.

    Args:
        run: the run folder, with the configuration that the others read.
        world: how many; 1 starts none.
        device: "cpu" or "cuda".
        timeout: seconds that one waits for another before it gives up.

    Raises:
        DermaSenseError: where another process ends or falls silent; the run can be resumed.
    """
    if world == 1:
        yield WHOLE
        return
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    others = [
        Other(run, Shard(rank, world), store.port, device, timeout) for rank in range(1, world)
    ]
    try:
        _wait_for_all(others, store, timeout)
        with _sigterm_as_ctrl_c(), joined(store, Shard(0, world), device, timeout):
            yield Shard(0, world)
        for other in others:
            other.wait(timeout)
    except RuntimeError as error:
        if not LOST.search(str(error)):
            raise
        raise DermaSenseError(_why(others, timeout, run)) from error
    finally:
        for other in others:
            other.end()


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_for_all(others: Sequence["Other"], store: dist.Store, timeout: float) -> None:
    until = time.monotonic() + timeout
    while not store.check([other.hello for other in others]):
        for other in others:
            if fate := other.fate():
                raise DermaSenseError(f"{fate}.")
        if time.monotonic() > until:
            raise RuntimeError("timed out")
        time.sleep(0.1)


def _why(others: Sequence["Other"], timeout: float, run: Path) -> str:
    again = f"go on with: {shell_line('train', f'resume={run}')}"
    until = time.monotonic() + MOMENT
    while True:
        for other in others:
            if fate := other.fate():
                return f"{fate}; {again}"
        if time.monotonic() > until:
            break
        time.sleep(0.1)
    return f"another process did not answer within trainer.timeout={timeout:g} s; {again}"


class Other:
    """A process that is not the first, and what it says, in `process_<rank>.txt` of the run.

    It ends when its standard input does: also where process 0 is killed.
    """

    def __init__(self, run: Path, shard: Shard, port: int, device: str, timeout: float) -> None:
        self.shard, self.hello = shard, hello(shard)
        self.said = run / f"process_{shard.rank}.txt"
        self._ended = threading.Event()
        words = [run, shard.rank, shard.world, port, device, timeout]
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", WORKER, *map(str, words)],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
            )
        threading.Thread(target=self._watch, daemon=True).start()

    def fate(self) -> str:
        """How it ended, where that was not as it should; "" for one that is at work or done."""
        code = self.process.poll()
        if not code:
            return ""
        name = f"process {self.shard.rank} of {self.shard.world}"
        if code < 0:
            return f"{name} was killed ({signal.Signals(-code).name})"
        lines = self.said.read_text(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return f"{name} ended with code {code} ({last.removeprefix('error: ').rstrip('.')})"

    def wait(self, timeout: float) -> None:
        """Until it has ended by itself.

        Raises:
            RuntimeError: where it does not, or not well.
        """
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeError("timed out") from None
        if code:
            raise RuntimeError("connection lost")

    def end(self) -> None:
        """Ends it, however it stands; what it said stays only where it went wrong."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(MOMENT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode == 0:
            self.said.unlink(missing_ok=True)

    def _watch(self) -> None:
        # Gloo notices a dead process at once; a GPU's collective may wait for it for ever.
        if self.process.wait() and not self._ended.wait(GRACE):
            print(f"error: {self.fate()}; go on with resume=...", file=sys.stderr, flush=True)
            os._exit(1)


def hello(shard: Shard) -> str:
    """The key by which a process says that it is there."""
    return f"hello/{shard.rank}"
