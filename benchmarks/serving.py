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
import statistics
import sys
import tempfile
from pathlib import Path

from http_load import Tally, closed, serving
from overload import bad_clients, overload, told_to_stop
from predict_rate import make_bundle, make_pictures

from dermasense.files import write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).parent / "results"
SERVERS = ("ours", "naive onnx", "naive torch")
SERVING = ["server", "concurrency", "requests", "images_per_second", "p50_ms", "p99_ms"]
SERVING += ["rate_ratio", "p50_ratio", "p99_ratio", "lost", "repeats"]
LOAD = ["what", "offered_per_second", "seconds", "sent", "ok", "busy", "other", "lost"]
LOAD += ["without_retry_after", "p50_ms", "p99_ms", "rss_first_mb", "rss_second_mb", "note"]
END = ["command", "commit", "machine"]


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
