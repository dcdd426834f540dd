"""What the stages that never look at a pixel cost, by the number of images: catalog to intervals.

    python benchmarks/scale_catalog.py                     # 10,000, 30,000 and 100,000 drawn rows
    python benchmarks/scale_catalog.py --page              # write the table into docs/scale.md

The rows are drawn: seven classes in HAM10000's shares, three photographs to two lesions or so, ages
and sexes. Every stage runs in a process of its own, forked after the imports. Its cost is processor
time, of all its threads and the system, which a busy machine hardly changes; waiting for a disk is
not in it. Its memory is the peak above what the process held before, imports and input included.
Writes benchmarks/results/scale_catalog.csv; about two minutes on one core.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from marked import with_parts

from dermasense.files import read_csv, write_csv, write_text
from dermasense.provenance import commit, machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks/results/scale_catalog.csv", ROOT / "docs/scale.md"
SIZES = (10_000, 30_000, 100_000)
NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
SHARES = np.array([327, 514, 1099, 115, 1113, 6705, 142]) / 10015
RESAMPLES = 100


def draw(folder: Path, count: int) -> None:
    """A table of `count` images, the catalog's frame, and logits, for the stages to read."""
    rng = np.random.default_rng(count)
    lesions = np.sort(rng.integers(round(0.9 * count), size=count))
    label = rng.choice(len(NAMES), round(0.9 * count), p=SHARES)[lesions]
    (folder / "one.jpg").touch()
    table = pd.DataFrame(
        {
            "image_id": [f"image_{i:08d}" for i in range(count)],
            "path": "one.jpg",
            "label": np.array(NAMES)[label],
            "group": [f"lesion_{i:08d}" for i in lesions],
            "age": rng.integers(1, 18, count) * 5,
            "sex": rng.choice(["female", "male"], count),
        }
    )
    table.to_csv(folder / "labels.csv", index=False)
    table["path"] = str(folder / "one.jpg")
    table.assign(origin="labels.csv").to_parquet(folder / "frame.parquet")
    logits = rng.normal(size=(count, len(NAMES))).astype(np.float32)
    logits[np.arange(count), label] += 1.5
    np.save(folder / "logits.npy", logits)


def frame(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "frame.parquet")


def catalog(folder: Path) -> Callable:
    from dermasense.data.catalog import check
    from dermasense.data.sources.csv import catalog as read

    def stage() -> None:
        found = read(str(folder), attributes=("age", "sex"))
        assert check(found, splits=3) == []

    return stage


def split(folder: Path) -> Callable:
    from dermasense.data.splits import assert_no_leak, assign_folds, assign_splits

    rows = frame(folder)

    def stage() -> None:
        assert_no_leak(rows, assign_splits(rows, NAMES, seed=0))
        assign_folds(rows, NAMES, folds=5, seed=0)

    return stage


def epoch(folder: Path) -> Callable:
    from dermasense.data.balance import build_rows
    from dermasense.data.sampling import EpochBatches

    labels = frame(folder)["label"].map({name: i for i, name in enumerate(NAMES)}).to_numpy()

    def stage() -> None:
        rows = build_rows("sampler", labels, [], NAMES, seed=0)
        assert sum(len(b.seed) for b in EpochBatches(rows, 32, seed=0, phase=0, epoch=0)) == len(
            labels
        )

    return stage


def store_file(folder: Path):
    from dermasense.data.row_file import RowFile

    return RowFile(folder / "store.npy", (len(frame(folder)), 8), "uint8", "rows")


def store_build(folder: Path) -> Callable:
    file = store_file(folder)

    def build(write) -> dict:
        for row in range(file.shape[0]):
            write(row, np.zeros((1, 8), np.uint8))
        return {}

    return lambda: file.open_or_build(build)


def store_open(folder: Path) -> Callable:
    return store_file(folder).open


def growing_file(folder: Path):
    from dermasense.data.growing_file import GrowingFile

    return GrowingFile(folder / "grow.npy", (len(frame(folder)), 8), "uint8", "rows")


def activations_build(folder: Path) -> Callable:
    file = growing_file(folder)
    every = np.arange(file.shape[0])

    def compute(missing: np.ndarray):
        for start in range(0, len(missing), 64):
            yield np.zeros((len(missing[start : start + 64]), 8), np.uint8)

    return lambda: file.filled(every, compute)


def activations_open(folder: Path) -> Callable:
    file = growing_file(folder)
    return lambda: file.missing(np.arange(file.shape[0]))


def predictions(folder: Path) -> Callable:
    from dermasense.evaluation.predictions import read_predictions, write_predictions

    rows, logits = frame(folder), np.load(folder / "logits.npy")
    path = folder / "predictions.parquet"

    def stage() -> None:
        write_predictions(path, rows, logits, NAMES)
        read_predictions(path)

    return stage


def metrics(folder: Path) -> Callable:
    from dermasense.evaluation.metrics import summarise
    from dermasense.evaluation.predictions import read_predictions
    from dermasense.evaluation.protocol import GROUPED

    table = read_predictions(folder / "predictions.parquet")
    return lambda: summarise(table, split_protocol=GROUPED)


def bootstrap(folder: Path) -> Callable:
    from dermasense.evaluation.bootstrap import intervals
    from dermasense.evaluation.predictions import read_predictions

    table = read_predictions(folder / "predictions.parquet")
    return lambda: intervals(table, resamples=RESAMPLES)


# In the order in which they run: some read what those before them left.
STAGES: dict[str, tuple[Callable[[Path], Callable], str]] = {
    "catalog": (catalog, "read the table, check every row and file"),
    "split": (split, "train, val, test; five folds"),
    "epoch": (epoch, "order and draws of an epoch, class-balanced"),
    "store_build": (store_build, "index of the decoded store, written"),
    "store_open": (store_open, "the same, checked when it is opened"),
    "activations_build": (activations_build, "index of cached activations, written"),
    "activations_open": (activations_open, "the same, checked when it is opened"),
    "predictions": (predictions, "predictions table, written and read"),
    "metrics": (metrics, "all metrics"),
    "bootstrap": (bootstrap, f"their intervals, {RESAMPLES} resamples"),
}


def measure(stage: str, folder: str, answer) -> None:
    """Runs one stage in this process; sends processor seconds and peak MiB above the floor."""
    work = STAGES[stage][0](Path(folder))
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    work()
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer.send((seconds, (peak - floor) / 1024))


def measured(stage: str, folder: Path) -> tuple[float, float]:
    """`measure` in a process of its own, forked: its peak begins at what this one holds."""
    fork = get_context("fork")
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=measure, args=(stage, str(folder), there))
    process.start()
    there.close()
    found = here.recv()
    process.join()
    return found


def rows_of(sizes: tuple[int, ...]) -> list[dict]:
    rows = []
    with tempfile.TemporaryDirectory() as name:  # what is imported once is no cost of a row
        draw(Path(name), 2000)
        for make, _ in STAGES.values():
            make(Path(name))()
    for count in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            draw(folder, count)
            for stage in STAGES:
                seconds, peak = measured(stage, folder)
                rows.append(
                    {
                        "stage": stage,
                        "n": count,
                        "cpu_seconds": round(seconds, 3),
                        "cpu_us_per_image": round(1e6 * seconds / count, 1),
                        "peak_above_floor_mib": round(peak, 1),
                        "command": "python benchmarks/scale_catalog.py",
                        "commit": commit(),
                        "machine": machine(),
                    }
                )
                print(*list(rows[-1].values())[:5], sep="\t", flush=True)
    return rows


def table() -> str:
    """The committed rows, one line a stage, and what they come to at a million."""
    rows = {(row["stage"], int(row["n"])): row for row in read_csv(RESULTS)}
    sizes = sorted({n for _, n in rows})
    lines = [
        f"| stage | {' | '.join(f'{n:,}' for n in sizes)} | MiB at {sizes[-1]:,} | at 1,000,000 |",
        "|---|" + "---|" * (len(sizes) + 2),
    ]
    for stage, (_, what) in STAGES.items():
        costs = [f"{float(rows[stage, n]['cpu_seconds']):.2f} s" for n in sizes]
        peak = float(rows[stage, sizes[-1]]["peak_above_floor_mib"])
        each = float(rows[stage, sizes[-1]]["cpu_us_per_image"])
        lines.append(
            f"| {what} | {' | '.join(costs)} | {peak:.0f} | {each:.0f} s, "
            f"{peak * 1e6 / sizes[-1] / 1024:.1f} GiB |"
        )
    return "\n".join(lines)


def page_with_table(page: str) -> str:
    """The page with the table of the committed rows between its marks."""
    return with_parts(page, {"scale": table})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="write the table into docs/scale.md")
    options = parser.parse_args()
    if options.page:
        write_text(PAGE, page_with_table(PAGE.read_text(encoding="utf-8")))
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = rows_of(tuple(options.sizes))
    write_csv(options.out, rows, list(rows[0]))


if __name__ == "__main__":
    sys.exit(main())
