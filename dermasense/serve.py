"""`python -m dermasense.serve`: a bundle behind HTTP, with a page at `/`.

Research software, not a medical device.
"""

import ipaddress
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.cluster.words import chosen_launcher
from dermasense.errors import DermaSenseError

KEY = "DERMASENSE_API_KEY"
SHIPPED = "shipped"  # the bundle in the package
ANYONE = "*"  # of trusted_proxies
COPIES = 2  # with launcher=ray
LAST_SECONDS = 2.0  # that threads have to end once the server has


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    texts, lists = ("bundle", "host"), ("trusted_proxies",)
    tool_command(start, "serve", texts=texts, lists=lists, launches=True)


def start(settings: dict) -> None:
    """Loads the bundle and serves it until it is told to stop; then finishes what it took on.

    Raises:
        DermaSenseError: the extra is not installed, the bundle cannot be read or takes fewer pixels
            than limits.pixels, the port is taken.
    """
    try:
        import uvicorn

        from dermasense.serving.building import Recipe
    except ImportError as error:
        raise DermaSenseError(
            f"{error.name} is not installed; pip install 'dermasense[serve]'."
        ) from None
    from dermasense.serving.limits import Limits

    launcher = chosen_launcher()
    if settings["replicas"] is not None and not launcher:
        raise DermaSenseError(
            "replicas=...: copies of the server run on Ray; add launcher=ray, or leave it out."
        )
    key = os.environ.get(KEY) or None
    build = Recipe(
        str(settings["bundle"]),
        {name: settings[name] for name in ("device", "engine", "batch_size")}
        | {"tta": settings["tta"]["views"], "average": settings["tta"]["average"]},
        Limits(**settings["limits"]),
        key,
        settings["wait_ms"] / 1000,
        trusted(settings["trusted_proxies"]),
    )
    host, port = str(settings["host"]), settings["port"]
    if not 0 <= port <= 65535:
        raise DermaSenseError(f"port={port}: expected a port, 1 to 65535, or 0 for a free one.")
    if launcher:
        _on_ray(*launcher, build, host, port, settings["replicas"] or COPIES)
        return
    app = build()
    _say(host, port, key)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the application itself believes those that are trusted
            timeout_keep_alive=10,
            timeout_graceful_shutdown=int(build.limits.most_seconds) + 1,
        )
    )
    for told in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops gracefully, then raises the signal once more for whoever was there before.
        signal.signal(told, signal.SIG_IGN)
    try:
        server.run()
    except SystemExit:  # uvicorn has said why in its log
        if server.lifespan.should_exit:
            raise DermaSenseError("The server could not start; see above.") from None
        raise DermaSenseError(
            f"{host}:{port} cannot be served on; another program may hold the port: take port=..."
        ) from None
    end_without_waiting(LAST_SECONDS)


def trusted(proxies: list[str] | None) -> tuple[str, ...]:
    """The proxies that are believed.

    Raises:
        DermaSenseError: one is neither an address nor a network.
    """
    for each in proxies or ():
        try:
            if each != ANYONE:
                ipaddress.ip_network(each)
        except ValueError:
            raise DermaSenseError(
                f"trusted_proxies={each}: expected an address such as 10.0.0.1, a network such as "
                f"10.0.0.0/8, or {ANYONE}."
            ) from None
    return tuple(proxies or ())


def end_without_waiting(seconds: float) -> None:
    """Ends the process where a thread does not end by itself; Python would wait for it.

    All that were asked have been answered: what a thread still decodes or explains is of those that
    were told it takes too long.

    Args:
        seconds: how long to wait for all threads together.
    """
    until = time.monotonic() + seconds
    others = [each for each in threading.enumerate() if not each.daemon]
    others.remove(threading.main_thread())
    for thread in others:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in others):
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _on_ray(name: str, asked: dict, build: Any, host: str, port: int, replicas: int) -> None:
    from dermasense.cluster.ray_cluster import Cluster

    if name != "ray":
        raise DermaSenseError(
            f"launcher={name}: serve takes launcher=ray, or none for this process alone."
        )
    cluster = Cluster.of(asked)
    from dermasense.inference.model import load
    from dermasense.serving.decoding import most_pixels
    from dermasense.serving.on_ray import serve_on_ray

    # A mistake in it is told here, not by a copy; the GPUs may all be on other machines.
    build.limits.within(most_pixels(load(build.bundle, **{**build.options, "device": "cpu"})))
    if build.bundle != SHIPPED and "://" not in build.bundle:
        build = replace(build, bundle=str(Path(build.bundle).resolve()))
    serve_on_ray(
        cluster,
        build,
        host=host,
        port=port,
        replicas=replicas,
        ready=lambda: _say(host, port, build.api_key),
    )


def _say(host: str, port: int, key: str | None) -> None:
    from dermasense.inference.prediction import DISCLAIMER

    shown = "no key is asked for" if key is None else f"with the key of {KEY}"
    print(f"http://{host}:{port}/ ({shown}). Ctrl-C stops it. {DISCLAIMER}", flush=True)


if __name__ == "__main__":
    main()
