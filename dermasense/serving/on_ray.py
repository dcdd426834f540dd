"""The same server on Ray Serve: several copies of it, on one machine or many, behind one address.

Each copy (Ray says replica) is the application that `dermasense.serve` runs, with limits, queue and
metrics of its own. One that dies is started again by Ray; requests that it was answering then are
answered 500 by Ray's proxy, and all others by the copies that are left.
"""

import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

from dermasense.cluster.ray_cluster import Cluster
from dermasense.errors import DermaSenseError
from dermasense.serving.building import Recipe

NAME = "dermasense"
_SECONDS = 5.0  # between two questions to a replica whether it is well, and for its answer


def serve_on_ray(
    cluster: Cluster,
    build: Recipe,
    *,
    host: str,
    port: int,
    replicas: int,
    ready: Callable[[], None],
) -> None:
    """Serves until a signal comes, and ends what it started.

    Args:
        cluster: which cluster, and what a replica takes of it.
        build: makes the application; called in each replica, where the bundle must be readable.
        host: address that the proxy of each machine listens on.
        port: of the same.
        replicas: how many, >= 1.
        ready: called once requests are answered.

    Raises:
        DermaSenseError: Ray Serve is not installed or runs already, the cluster has no room, the
            port is taken, or no replica starts.
    """
    cluster.join()
    cluster.check_room(replicas)
    try:
        from ray import serve
    except ImportError as error:
        raise DermaSenseError(
            f"launcher=ray: {error.name} is not installed; pip install 'dermasense[scale]'."
        ) from None
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if serve.status().proxies:
        raise DermaSenseError(
            "launcher=ray: Ray Serve already runs on this cluster, for applications of its own; "
            "end it (`serve shutdown`), or take another cluster."
        )

    def made() -> Any:  # Ray takes a callable that is no function for the application itself
        return build()

    replica = serve.deployment(serve.ingress(made)()).options(
        name=NAME,
        num_replicas=replicas,
        # A copy says 503 itself beyond its limits, and needs room to; Ray drops what exceeds that.
        max_ongoing_requests=2 * build.limits.requests,
        max_queued_requests=build.limits.requests,
        ray_actor_options={"num_cpus": cluster.cpus, "num_gpus": cluster.gpus},
        graceful_shutdown_timeout_s=build.limits.most_seconds,
        health_check_period_s=_SECONDS,
        health_check_timeout_s=_SECONDS,
    )
    told = threading.Event()
    try:
        _start(serve, host, port)
        _deploy(serve, replica.bind())
        for number in (signal.SIGTERM, signal.SIGINT):  # until here Ctrl-C interrupts
            signal.signal(number, lambda *_: told.set())
        ready()
        told.wait()
    finally:
        serve.shutdown()


def _start(serve: Any, host: str, port: int) -> None:
    try:
        serve.start(http_options={"host": host, "port": port})
    except RuntimeError as error:
        said = str(error).strip().splitlines()[-1].rstrip(".")
        raise DermaSenseError(
            f"{host}:{port} cannot be served on ({said}); another program may hold the port: take "
            "port=..."
        ) from None


def _deploy(serve: Any, application: Any) -> None:
    try:
        serve.run(application, name=NAME, route_prefix="/")
    except RuntimeError:  # Ray's sentence is about Ray; the replica's own is in the status
        status = serve.status().applications[NAME]
        said = [each.message for each in status.deployments.values()] or [status.message]
        lines = [line for line in "\n".join(said).splitlines() if "Error" in line]
        raise DermaSenseError(
            f"launcher=ray: no copy of the server starts ({(lines or said)[-1].strip()[:300]})."
        ) from None
