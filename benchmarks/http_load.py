"""A server as a process, and load on it from this one: clients in a closed or an open loop."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)


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
    """One picture in one request; without an answer it is lost."""
    try:
        await send(session, url, body, tally)
    except LOST:
        tally.lost += 1


async def send(session: aiohttp.ClientSession, url: str, body: bytes, tally: Tally) -> None:
    """One picture in one request.

    Raises:
        aiohttp.ClientError, TimeoutError, ConnectionError: it got no answer.
    """
    form = aiohttp.FormData()
    form.add_field("files", body, filename="a.jpg", content_type="image/jpeg")
    began = time.perf_counter()
    async with session.post(url, data=form) as answer:
        await answer.read()
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
