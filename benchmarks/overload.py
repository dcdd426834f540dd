"""A server under more than it can do, among bad clients, and told to stop: rows of load.csv."""

import asyncio
import signal
import subprocess
from collections import Counter
from pathlib import Path

import aiohttp
import psutil
from http_load import LOST, Tally, closed, opened, send, serving


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
    tally, refused = Tally(), 0

    async def client(session: aiohttp.ClientSession, url: str, number: int) -> None:
        nonlocal refused
        while True:
            try:
                await send(session, url, bodies[number % len(bodies)], tally)
            except aiohttp.ClientConnectorError:  # it no longer listens: nothing was taken on
                refused += 1
                return
            except LOST:
                tally.lost += 1
                return

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
    note = f"exit {code}; {refused} clients met a closed door afterwards"
    return {"what": "SIGTERM amid load", **tally.row(), "note": note}
