"""Two copies of the server on Ray Serve, one of them killed under load: ray_serve.csv.

    python benchmarks/ray_serve.py [--requests 600]

Clients in a closed loop before, while and after one copy gets a kill -9. A request that the dead
copy was answering may end with a status of 500, of which no more than there are clients; all
others must be answered 200. `came_back` is the time until two copies are there again.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import psutil
from http_load import Tally, closed, serving
from predict_rate import make_bundle, make_pictures

from dermasense.files import write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parent / "results" / "ray_serve.csv"
TITLE = "ray::ServeReplica"
PATIENCE = 180  # seconds


def copies(pid: int) -> list[psutil.Process]:
    """Processes of the server's copies, on the cluster that a process has started."""
    found = []
    for each in psutil.Process(pid).children(recursive=True):
        try:
            if " ".join(each.cmdline()).startswith(TITLE):
                found.append(each)
        except psutil.Error:
            continue
    return found


def kill_one(pid: int) -> int:
    """kill -9 to a copy; its process id."""
    one = copies(pid)[0]
    one.kill()
    return one.pid


def back_after(pid: int, dead: int, wanted: int) -> float:
    """Seconds until so many copies live, the dead one not among them.

    Raises:
        SystemExit: none came back.
    """
    start = time.monotonic()
    while time.monotonic() < start + PATIENCE:
        if len([each for each in copies(pid) if each.pid != dead]) >= wanted:
            return time.monotonic() - start
        time.sleep(0.2)
    raise SystemExit(f"no copy came back within {PATIENCE} s")


def measure(bundle: Path, bodies: list[bytes], requests: int, clients: int, n: int) -> list[dict]:
    """A row before, during and after the kill."""
    words = ["launcher=ray", "launcher.num_cpus=2", "launcher.cpus=0.5", f"replicas={n}"]
    rows = []

    def keep(what: str, tally: Tally, **more) -> None:
        row = {"what": what, "copies": n, "clients": clients, **tally.row()}
        rows.append({**row, "rate": round(tally.rate, 1), "came_back": "", **more})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)

    with serving("ours", bundle, *words) as (url, process):
        assert len(copies(process.pid)) == n, "Ray does not run as many copies as were asked for"
        asyncio.run(closed(url, bodies, clients, 50))
        keep("before", asyncio.run(closed(url, bodies, clients, requests)))
        killed: list[int] = []

        def watch(number: int) -> None:
            if number == requests // 4:
                killed.append(kill_one(process.pid))

        tally = asyncio.run(closed(url, bodies, clients, requests, watch))
        waited = tally.wall * 3 / 4  # about; the rest of the requests came after the kill
        seconds = back_after(process.pid, killed[0], n)
        keep("one copy killed", tally, came_back=f"<= {waited + seconds:.0f} s")
        keep("after", asyncio.run(closed(url, bodies, clients, requests)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        bundle = make_bundle(Path(work) / "bundle", "tf_efficientnet_lite0", options.image_size)
        pictures = make_pictures(Path(work) / "pictures", 16)
        bodies = [path.read_bytes() for path in sorted(pictures.iterdir())]
        rows = measure(bundle, bodies, options.requests, options.clients, options.replicas)
    command = f"python benchmarks/ray_serve.py --requests {options.requests}"
    command += f" --clients {options.clients} --replicas {options.replicas}"
    command += f" --image-size {options.image_size}"
    end = {"command": command, "commit": commit(), "machine": machine()}
    write_csv(options.results, [row | end for row in rows], [*rows[0], *end])


if __name__ == "__main__":
    main()
