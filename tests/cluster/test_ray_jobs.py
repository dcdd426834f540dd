"""Jobs on two nodes: each has one result, whatever is killed meanwhile."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed (extra scale)")

from dermasense.cluster.ray_cluster import Cluster
from dermasense.cluster.ray_jobs import Lost, run_on_ray

pytestmark = pytest.mark.slow


def begun(folder: Path, name: str) -> int:
    """Notes that a job has begun; returns how often it had before."""
    before = len(list(folder.glob(f"{name}.*")))
    (folder / f"{name}.{before}").write_text(str(os.getpid()))
    return before


class Job:
    """Does what its kind says, once it has noted that it has begun."""

    def __init__(self, folder: Path, name: str, kind: str) -> None:
        self.folder, self.name, self.kind = folder, name, kind

    def __call__(self) -> str:
        before = begun(self.folder, self.name)
        if self.kind == "dies" or (self.kind == "dies once" and not before):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "raises":
            raise ValueError("planted")
        if self.kind == "waits" and not before:
            time.sleep(60)
        return f"{self.name} in {os.getcwd()}"


def test_workers_and_a_node_are_killed_and_every_job_has_one_result(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kinds = ["waits", "waits", "dies once", "raises", "dies", "returns"]
    jobs = [Job(tmp_path, f"job{number}", kind) for number, kind in enumerate(kinds)]
    said = []

    def kill_a_node() -> None:
        while len(list(tmp_path.glob("job[01].0"))) < 2:  # one on each node
            time.sleep(0.1)
        cluster.kill_node(1)
        cluster.kill_worker(0)

    killer = threading.Thread(target=kill_a_node)
    killer.start()
    options = Cluster(address=cluster.address, restarts=1)
    results = run_on_ray(options, jobs, said.append)
    killer.join()
    for number in (0, 1, 2, 5):
        assert results[number] == f"job{number} in {tmp_path}"
    assert results[3] == Lost("ValueError: planted")
    assert isinstance(results[4], Lost) and "died" in results[4].reason
    tries = [len(list(tmp_path.glob(f"job{number}.*"))) for number in range(6)]
    assert tries == [2, 2, 2, 1, 2, 1]
    assert sum("started again (1/1)" in sentence for sentence in said) == 4
