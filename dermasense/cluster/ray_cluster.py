"""Joining a Ray cluster, or starting one of this machine's processors."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from dermasense.errors import DermaSenseError, first_line, nearest

_STORE = 100 * 2**20  # bytes: tables of paths and of numbers go through it


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and what one job takes of it.

    Attributes:
        address: of a running cluster ("host:6379", "auto"); None takes RAY_ADDRESS, else a cluster
            is started on this machine and ends with the command.
        num_cpus: processors of a cluster started here; None: all.
        cpus: processors a job, > 0.
        gpus: GPUs a job, >= 0; parts of one may be shared.
        restarts: how often a job is started again whose worker or machine died, >= 0.
    """

    address: str | None = None
    num_cpus: int | None = None
    cpus: float = 1
    gpus: float = 0
    restarts: int = 3

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Cluster":
        """Checked options.

        Raises:
            DermaSenseError: unknown, of another type, or out of range.
        """
        known = [each.name for each in fields(cls)]
        for name in options:
            if name not in known:
                raise DermaSenseError(f"launcher.{name} is no option; {nearest(name, known)}")
        made = cls(**options)
        _need("num_cpus", made.num_cpus, int, 1, "an integer >= 1, or null for all", none=True)
        _need("cpus", made.cpus, int | float, 0.01, "a number > 0")
        _need("gpus", made.gpus, int | float, 0, "a number >= 0")
        _need("restarts", made.restarts, int, 0, "an integer >= 0")
        return made

    def join(self) -> None:
        """Joins or starts the cluster; one that this process has joined already is kept.

        Raises:
            DermaSenseError: Ray is not installed, no cluster answers, or no machine of it is large
                enough for a job.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # asks the network otherwise
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError:
            raise DermaSenseError(
                "launcher=ray needs Ray, which is not installed: pip install 'dermasense[scale]'"
            ) from None
        if not ray.is_initialized():
            address = self.address or os.environ.get("RAY_ADDRESS")
            here = {"num_cpus": self.num_cpus, "object_store_memory": _STORE}
            options = {"address": address} if address else {**here, "include_dashboard": False}
            try:
                ray.init(**options, logging_level="warning", log_to_driver=False)
            except (ConnectionError, ValueError) as error:
                raise DermaSenseError(
                    f"launcher.address={address}: no Ray cluster answers ({first_line(error)}); "
                    "start one with `ray start --head`, or leave it out for one on this machine."
                ) from None
        self._check_size(ray.nodes())

    def check_room(self, jobs: int) -> None:
        """Refuses more jobs that run at once than the joined cluster has room for.

        Raises:
            DermaSenseError: saying for how many.
        """
        import ray

        needs = {"CPU": self.cpus, "GPU": self.gpus}
        room = sum(
            min(int(node["Resources"].get(name, 0) / need) for name, need in needs.items() if need)
            for node in ray.nodes()
            if node["Alive"]
        )
        if jobs > room:
            raise DermaSenseError(
                f"replicas={jobs}: the cluster has room for {room} with "
                f"launcher.cpus={self.cpus:g} and launcher.gpus={self.gpus:g}; ask for fewer, let "
                "each take less, or add a machine."
            )

    def _check_size(self, nodes: list[dict]) -> None:
        alive = [node["Resources"] for node in nodes if node["Alive"]]
        for option, resource, wanted in (("cpus", "CPU", self.cpus), ("gpus", "GPU", self.gpus)):
            most = max((node.get(resource, 0) for node in alive), default=0)
            if wanted > most:
                raise DermaSenseError(
                    f"launcher.{option}={wanted:g}: a job runs on one machine, and the largest of "
                    f"the cluster has {most:g} {resource}s; ask for less, or add a machine."
                )


def _need(name: str, value: Any, kind: Any, least: float, words: str, none: bool = False) -> None:
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, kind) or value < least:
        raise DermaSenseError(f"launcher.{name}={value}: expected {words}.")
