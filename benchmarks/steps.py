"""What a step costs beside what it could cost: pairs measured in turns, medians, one ratio each.

    python benchmarks/steps.py             writes benchmarks/results/steps.csv; rows of other
                                           networks and sizes stay
    python benchmarks/steps.py --check     measures again; fails where a ratio fell by over a third

Pictures are random pixels: nothing is learnt. Rows (a ratio above 1: the first is faster):

- training, ours against a bare loop of PyTorch with the same network, images, augmentation, loss,
  optimizer, batches and loader processes; and against timm's loader and optimizer in such a loop;
- training in bfloat16, where the processor multiplies it, against float32, and against bfloat16
  with torch's own gradients of depthwise convolutions;
- training on cached activations, against the whole network with the same layers free;
- the constant part of a network on our engine, against eager torch in NCHW memory, at batch 64 and
  at batch 1.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from loops import Bench
from result_rows import write_beside

from dermasense.files import read_csv
from dermasense.provenance import commit, machine
from dermasense.training.hardware import resolve_precision

RESULTS = Path(__file__).parent / "results" / "steps.csv"
KEY = ("name", "against", "backbone", "input_size", "batch_size", "device")
COLUMNS = [
    "name", "backbone", "input_size", "batch_size", "images_per_second", "against",
    "against_images_per_second", "ratio", "repeats", "workers", "threads", "device", "torch",
    "command", "commit", "machine",
]  # fmt: skip
ALLOWED = 2 / 3


def pairs(bench: Bench) -> dict[tuple[str, str, int], tuple[Callable, Callable]]:
    """(name, against, batch size) -> what is measured beside what."""
    batch = bench.batch
    half = partial(bench.ours, "bf16-mixed")
    in_half = {
        ("training in bfloat16", "in float32", batch): (half, bench.ours),
        ("training in bfloat16", "torch's own gradients", batch): (half, partial(half, plain=True)),
    }
    return {
        ("training", "bare loop", batch): (bench.ours, bench.bare),
        ("training", "timm's loader and optimizer", batch): (bench.ours, bench.timm),
        **(in_half if resolve_precision("auto", bench.device) == "bf16-mixed" else {}),
        ("training 15 layers on activations", "on pictures", batch): (
            lambda: bench.suffix(15),
            lambda: bench.whole(15),
        ),
        ("constant part", "eager torch, NCHW", 64): (
            lambda: bench.engine(64),
            lambda: bench.eager(64),
        ),
        ("constant part", "eager torch, NCHW", 1): (
            lambda: bench.engine(1),
            lambda: bench.eager(1),
        ),
    }


def measure(bench: Bench, repeats: int) -> list[dict]:
    rows = []
    for (name, against, batch), (one, other) in pairs(bench).items():
        found: list[tuple[float, float]] = []
        for repeat in range(repeats):
            if repeat % 2:
                second, first = other(), one()
            else:
                first, second = one(), other()
            found.append((first, second))
        row = {
            "name": name,
            "backbone": bench.options.backbone,
            "input_size": bench.size,
            "batch_size": batch,
            "images_per_second": round(statistics.median(f for f, _ in found), 1),
            "against": against,
            "against_images_per_second": round(statistics.median(s for _, s in found), 1),
            "ratio": round(statistics.median(f / s for f, s in found), 3),
            "repeats": repeats,
            "workers": bench.workers,
            "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if bench.device == "cuda" else "cpu",
            "torch": torch.__version__,
        }
        print("  ".join(f"{k} {row[k]}" for k in list(row)[:8]), flush=True)
        rows.append(row)
    return rows


def check(rows: list[dict], path: Path) -> int:
    """Number of ratios that fell by more than a third since they were committed."""
    before = {_key(row): float(row["ratio"]) for row in read_csv(path)}
    slower = 0
    for row in rows:
        if _key(row) not in before:
            print(f"not in {path}: {row['name']} against {row['against']}")
        elif row["ratio"] < ALLOWED * before[_key(row)]:
            slower += 1
            print(
                f"slower: {row['name']} against {row['against']}: ratio {row['ratio']}, "
                f"committed {before[_key(row)]}"
            )
    return slower


def _key(row: dict) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in KEY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=144)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12, help="timed steps a repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.check and not options.results.is_file():
        sys.exit(f"{options.results}: no committed ratios to compare with; run without --check.")
    rows = measure(Bench(options), options.repeats)
    if options.check:
        sys.exit(1 if check(rows, options.results) else 0)
    command = " ".join(["python", "benchmarks/steps.py", *sys.argv[1:]])
    end = {"command": command, "commit": commit(), "machine": machine()}
    write_beside(options.results, [row | end for row in rows], COLUMNS, KEY)


if __name__ == "__main__":
    main()
