"""A Ray cluster of two nodes of one processor each on this machine, and kill -9 for its parts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

STORE = 80 * 2**20  # bytes, Ray's least
# A node that is gone is noticed in seconds, where Ray's own setting takes half a minute.
CHECKS = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 5,
}
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_raylet_start_wait_time_s": "300",
    # Workers give way to the daemons: a node that cannot answer in time counts as dead.
    "RAY_worker_niceness": "19",
}
# Titles of processes at work on a job, or on parts; a node's own agents bear others.
JOBS = ("ray::_stand_in", "ray::MapWorker")


class TwoNodes:
    """Starts the cluster; `with` ends it."""

    def __enter__(self) -> "TwoNodes":
        os.environ.update(ENVIRONMENT)
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": STORE}
        head = {**node, "include_dashboard": False, "_system_config": CHECKS}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self._cluster.head_node, self._cluster.add_node(**node)]
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()

    @property
    def address(self) -> str:
        """For `launcher.address=`."""
        return self._cluster.address

    def workers(self, node: int) -> list[psutil.Process]:
        """Processes of a node that are at work on something."""
        found = []
        for each in self._raylet(node).children():
            try:
                title = " ".join(each.cmdline())
            except psutil.Error:
                continue
            if title.startswith(JOBS):
                found.append(each)
        return found

    def trial(self, node: int) -> Path | None:
        """Run folder of the trial that a node is at work on, by the file it has open there."""
        for worker in self.workers(node):
            try:
                opened = [Path(each.path) for each in worker.open_files()]
            except psutil.Error:
                continue
            for path in opened:
                if path.name == "printed.txt":
                    return path.parent
        return None

    def kill_worker(self, node: int) -> None:
        """kill -9 to what a node is at work on."""
        busy = self.workers(node)
        assert busy, f"node {node} is idle"
        for each in busy:
            each.send_signal(signal.SIGKILL)

    def kill_node(self, node: int) -> None:
        """kill -9 to the daemon of a node and to everything that it has started."""
        raylet = self._raylet(node)
        for each in [raylet, *raylet.children(recursive=True)]:
            each.send_signal(signal.SIGKILL)

    def _raylet(self, node: int) -> psutil.Process:
        return psutil.Process(self.nodes[node].all_processes["raylet"][0].process.pid)


def start(module: str, *words: str, folder: Path, **environment: str) -> subprocess.Popen:
    """A command of DermaSense in a process of its own; what it says goes to `said_<module>.txt`."""
    with open(folder / f"said_{module}.txt", "a", encoding="utf-8") as said:
        return subprocess.Popen(
            [sys.executable, "-m", f"dermasense.{module}", *words],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=said,
            stderr=said,
            preexec_fn=_give_way,
        )


def _give_way() -> None:
    os.nice(19)


def wait_until(holds: Callable[[], object], process: subprocess.Popen, seconds: float) -> None:
    """Waits for something that happens while a command runs.

    Raises:
        AssertionError: the command ended before, or it took too long.
    """
    limit = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None, f"it ended before, with {process.returncode}"
        assert time.monotonic() < limit, f"nothing within {seconds} s"
        time.sleep(0.1)
