"""The server beside a naive one, and under more than it can do.

    python benchmarks/serving.py                    rates and latencies, in turns with naive servers
    python benchmarks/serving.py --load             overload, 10,000 requests, slow clients, a stop

Three servers with the same bundle of random weights, each a process of its own under uvicorn: ours
(`python -m dermasense.serve`); one forward a request on ONNX Runtime as it comes; one forward a
request on eager torch. The naive ones are what FastAPI's first page teaches: decode, predict,
return, in FastAPI's own threads. Only the server that is measured gets requests. Load comes from
one process of this script, closed loop: each of `concurrency` connections sends the next request
when its answer is there. Writes benchmarks/results/serving.csv, or load.csv.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from predict_rate import make_bundle, make_pictures

from dermasense.files import write_csv
from dermasense.run_folder import commit, machine

RESULTS = Path(__file__).parent / "results"
SERVERS = ("ours", "naive onnx", "naive torch")
SERVING = ["server", "concurrency", "requests", "images_per_second", "p50_ms", "p99_ms"]
SERVING += ["rate_ratio", "p50_ratio", "p99_ratio", "lost", "repeats"]
LOAD = ["what", "offered_per_second", "seconds", "sent", "ok", "busy", "other", "lost"]
LOAD += ["without_retry_after", "p50_ms", "p99_ms", "rss_first_mb", "rss_second_mb", "note"]
END = ["command", "commit", "machine"]


@dataclass
class Tally:
    """How requests ended.

    Attributes:
        statuses: answers of each status.
        seconds: of each that was answered 200.
        lost: requests without an answer.
        silent: answers 503 without Retry-After.
        wall: from the first request to the last answer.
    """

    statuses: Counter = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0
    silent: int = 0
    wall: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.wall if self.wall else 0.0

    def latency(self, share: float) -> float:
        """Milliseconds that `share` of the answers took at most."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def row(self) -> dict:
        ok, busy = self.statuses[200], self.statuses[503]
        other = sum(self.statuses.values()) - ok - busy
        return {
            **{"sent": sum(self.statuses.values()) + self.lost, "ok": ok, "busy": busy},
            **{"other": other, "lost": self.lost, "without_retry_after": self.silent},
            **{"p50_ms": round(self.latency(0.5), 1), "p99_ms": round(self.latency(0.99), 1)},
        }


@contextlib.contextmanager
def serving(name: str, bundle: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Starts a server and waits until it answers; gives its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if name == "ours":
        command = ["-m", "dermasense.serve", f"bundle={bundle}", f"port={port}", *words]
    else:
        command = [str(Path(__file__).parent / "naive_server.py"), name.split()[1]]
        command += [str(bundle), str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *command], **quiet)
    try:
        asyncio.run(_ready(f"http://127.0.0.1:{port}/readyz", process))
        yield f"http://127.0.0.1:{port}/v1/predict", process
    finally:
        process.kill()
        process.wait()


async def _ready(url: str, process: subprocess.Popen) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"{url}: the server ended with {process.returncode}")
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.2)
    raise SystemExit(f"{url}: not ready after two minutes")


async def ask(session: aiohttp.ClientSession, url: str, body: bytes, tally: Tally) -> None:
    """One picture in one request."""
    form = aiohttp.FormData()
    form.add_field("files", body, filename="a.jpg", content_type="image/jpeg")
    began = time.perf_counter()
    try:
        async with session.post(url, data=form) as answer:
            await answer.read()
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        tally.lost += 1
        return
    tally.statuses[answer.status] += 1
    if answer.status == 200:
        tally.seconds.append(time.perf_counter() - began)
    elif answer.status == 503 and int(answer.headers.get("retry-after", 0)) < 1:
        tally.silent += 1


def _session(connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=120),
    )


async def closed(
    url: str, bodies: list[bytes], concurrency: int, requests: int, watch=None
) -> Tally:
    """`concurrency` clients, each asks again when it was answered; `requests` in all."""
    tally, left = Tally(), iter(range(requests))

    async def client(session: aiohttp.ClientSession) -> None:
        for number in left:
            if watch:
                watch(number)
            await ask(session, url, bodies[number % len(bodies)], tally)

    async with _session(concurrency) as session:
        began = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(concurrency)))
        tally.wall = time.perf_counter() - began
    return tally


async def opened(
    url: str, bodies: list[bytes], rate: float, seconds: float, most: int = 200
) -> Tally:
    """`rate` requests a second whatever the answers do, on at most `most` connections."""
    tally, jobs = Tally(), set()
    async with _session(most) as session:
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            job = asyncio.create_task(ask(session, url, bodies[number % len(bodies)], tally))
            jobs.add(job)
            job.add_done_callback(jobs.discard)
        await asyncio.gather(*jobs)
        tally.wall = time.perf_counter() - began
    return tally


def compare(
    bundle: Path, bodies: list[bytes], levels: list[int], requests: int, repeats: int
) -> list[dict]:
    """Each server at each concurrency, in turns; ratios are medians over the turns."""
    found: dict[tuple[str, int], list[Tally]] = {}
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(serving(name, bundle))[0] for name in SERVERS}
        for url in urls.values():
            asyncio.run(closed(url, bodies, 4, 12))
        for turn in range(repeats):
            for level in levels:
                for name in SERVERS[:: -1 if turn % 2 else 1]:
                    tally = asyncio.run(closed(urls[name], bodies, level, requests))
                    found.setdefault((name, level), []).append(tally)
    rows = []
    for (name, level), tallies in sorted(found.items(), key=lambda each: each[0][1]):
        pairs = list(zip(found["ours", level], tallies, strict=True))

        def middle(values) -> float:
            return round(statistics.median(values), 2)

        rows.append(
            {
                **{"server": name, "concurrency": level, "requests": requests},
                "images_per_second": middle(each.rate for each in tallies),
                "p50_ms": middle(each.latency(0.5) for each in tallies),
                "p99_ms": middle(each.latency(0.99) for each in tallies),
                "rate_ratio": middle(a.rate / b.rate for a, b in pairs),
                "p50_ratio": middle(b.latency(0.5) / a.latency(0.5) for a, b in pairs),
                "p99_ratio": middle(b.latency(0.99) / a.latency(0.99) for a, b in pairs),
                "lost": sum(each.lost for each in tallies),
                "repeats": repeats,
            }
        )
    return rows


def overload(bundle: Path, bodies: list[bytes], seconds: float, requests: int) -> list[dict]:
    """Twice what the server can do, then many requests while its memory is watched."""
    rows = []
    with serving("ours", bundle) as (url, process):
        capacity = asyncio.run(closed(url, bodies, 16, max(64, requests // 50))).rate
        tally = asyncio.run(opened(url, bodies, 2 * capacity, seconds))
        note = f"twice the {capacity:.0f} a second of 16 clients"
        about = {"what": "overload", "offered_per_second": round(2 * capacity, 1)}
        rows.append({**about, "seconds": round(tally.wall), **tally.row(), "note": note})
        halves: tuple[list[float], list[float]] = [], []
        server = psutil.Process(process.pid)

        def watch(number: int) -> None:
            if number % 50 == 0:
                halves[2 * number >= requests].append(server.memory_info().rss / 2**20)

        tally = asyncio.run(closed(url, bodies, 16, requests, watch))
        first, second = (round(max(half), 1) for half in halves)
        memory = {"rss_first_mb": first, "rss_second_mb": second}
        note = "16 clients; memory is the most in each half"
        about = {"what": f"{requests:,} requests", "seconds": round(tally.wall)}
        rows.append({**about, **tally.row(), **memory, "note": note})
    return rows


async def _raw(url: str, lines: list[bytes], pause: float) -> bytes:
    """Sends bytes with pauses between, and gives what comes back."""
    host, _, port = url.split("/")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for line in lines:
            writer.write(line)
            await writer.drain()
            await asyncio.sleep(pause)
        return await reader.read(200) if pause else b""
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _request(body: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    form = head + body + b"\r\n--x--\r\n"
    said = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x"
    return b"%s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (said, len(form), form)


def bad_clients(bundle: Path, bodies: list[bytes], count: int) -> list[dict]:
    """Clients that drip or go away amid an upload, beside others that must be answered."""
    with serving("ours", bundle, "limits.receive_seconds=3") as (url, process):
        whole = _request(bodies[0])
        drips = [whole[at : at + 400] for at in range(0, 8000, 400)]  # a part, over 10 s

        async def beside(bad: list) -> tuple[Tally, list]:
            asked = asyncio.create_task(closed(url, bodies, 2, 40))
            ends = await asyncio.gather(*bad)
            return await asked, ends

        slow, ends = asyncio.run(beside([_raw(url, drips, 0.5) for _ in range(count)]))
        ended = Counter(each[9:12].decode() or "closed" for each in ends)
        cut = [whole[: len(whole) // 2]]
        aborted, _ = asyncio.run(beside([_raw(url, cut, 0) for _ in range(10 * count)]))
        after = asyncio.run(closed(url, bodies, 1, 5))
        alive = process.poll() is None and after.statuses[200] == 5
    said = ", ".join(f"{n} ended with {status}" for status, n in sorted(ended.items()))
    return [
        {"what": f"{count} slow clients", **slow.row(), "note": said},
        {
            "what": f"{10 * count} aborted uploads",
            **aborted.row(),
            "note": "the server answers afterwards" if alive else "the server does not answer",
        },
    ]


def told_to_stop(bundle: Path, bodies: list[bytes], clients: int = 16) -> dict:
    """SIGTERM amid load: what it took on is answered, and no answer breaks off."""
    tally, refused, broken = Tally(), 0, 0

    async def client(session: aiohttp.ClientSession, url: str, number: int) -> None:
        nonlocal refused, broken
        while True:
            form = aiohttp.FormData()
            form.add_field("files", bodies[number % len(bodies)], filename="a.jpg")
            began = time.perf_counter()
            try:
                async with session.post(url, data=form) as answer:
                    await answer.read()
            except aiohttp.ClientConnectorError:  # it no longer listens: nothing was taken on
                refused += 1
                return
            except (aiohttp.ClientError, ConnectionError):
                broken += 1
                return
            tally.statuses[answer.status] += 1
            if answer.status == 200:
                tally.seconds.append(time.perf_counter() - began)

    async def run(url: str, process: subprocess.Popen) -> None:
        # A connection a request: on one that is kept open a request may cross the server's close.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            jobs = [asyncio.create_task(client(session, url, n)) for n in range(clients)]
            await asyncio.sleep(3)
            process.send_signal(signal.SIGTERM)
            await asyncio.gather(*jobs)

    with serving("ours", bundle) as (url, process):
        asyncio.run(run(url, process))
        code = process.wait(60)
    tally.lost = broken
    note = f"exit {code}; {refused} clients met a closed door afterwards"
    return {"what": "SIGTERM amid load", **tally.row(), "note": note}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--requests", type=int, default=150, help="a turn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30, help="of overload")
    parser.add_argument("--many", type=int, default=10_000, help="requests while memory is watched")
    parser.add_argument("--bad", type=int, default=8, help="slow clients")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[1]))
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(Path(folder) / "bundle", "tf_efficientnet_lite0", options.image_size)
        files = make_pictures(Path(folder) / "pictures", 32)
        bodies = [path.read_bytes() for path in sorted(files.iterdir())]
        if options.load:
            rows = overload(bundle, bodies, options.seconds, options.many)
            rows += bad_clients(bundle, bodies, options.bad)
            rows.append(told_to_stop(bundle, bodies))
        else:
            turns = options.concurrency, options.requests, options.repeats
            rows = compare(bundle, bodies, *turns)
    command = " ".join(["python", "benchmarks/serving.py", *sys.argv[1:]])
    end = {"command": command, "commit": commit(), "machine": machine()}
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    name = "load.csv" if options.load else "serving.csv"
    columns = [*(LOAD if options.load else SERVING), *END]
    write_csv(options.results or RESULTS / name, [row | end for row in rows], columns)


if __name__ == "__main__":
    main()
