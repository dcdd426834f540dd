"""What one picture costs each network: benchmarks/results/network_costs.csv.

    python benchmarks/network_costs.py [lite0@144 lite0@224 ...]

Parameters of the network without a head, which a system counts on its own (systems.csv); GFLOPs
with a linear head of seven classes, as torch.utils.flop_counter counts them (two a multiply-add;
convolutions and matrix products); milliseconds of processor time for one picture on one thread of
ONNX Runtime, the median of many, the networks taking turns. Rows of other networks stay: name none
for times of one run.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from features import network_of
from result_rows import write_beside
from torch.utils.flop_counter import FlopCounterMode

from dermasense.files import read_csv
from dermasense.inference.engine import build_engine
from dermasense.models.classifier import Classifier, build_classifier
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parent / "results" / "network_costs.csv"
WANTED = "lite0@96 lite0@144 lite0@224 lite1@192 lite1@240 lite2@176 lite2@200 lite2@260".split()
COLUMNS = "network image_size parameters gflops milliseconds n command commit machine".split()


def built(backbone: str, side: int) -> tuple[Classifier, np.ndarray]:
    """A network of seven classes, and one picture for it, (1, 3, side, side) uint8."""
    classifier, _, _ = build_classifier(
        backbone=backbone,
        num_classes=7,
        head={"name": "linear", "dropout": 0.0},
        image_size=side,
        weights="package",
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, side, side), np.uint8)
    return classifier.eval(), pixels


def parameters(part: torch.nn.Module) -> int:
    """How many numbers of it are trained."""
    return sum(each.numel() for each in part.parameters())


def gflops(classifier: Classifier, pixels: np.ndarray) -> float:
    """Of one picture."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        classifier(torch.from_numpy(pixels))
    return counter.get_total_flops() / 1e9


def milliseconds(runs: dict, turns: int) -> dict[str, float]:
    """Median processor time of each, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 3):
        for name, (run, pixels) in runs.items():
            start = time.process_time()
            run(pixels)
            if turn >= 3:  # the first ones warm up
                taken[name].append(1000 * (time.process_time() - start))
    return {name: float(np.median(values)) for name, values in taken.items()}


def costs(path: Path = RESULTS) -> dict[str, dict[str, float]]:
    """What stands in the table, by "lite0@224"."""
    return {
        f"{row['network']}@{row['image_size']}": {
            key: float(row[key]) for key in ("parameters", "gflops", "milliseconds")
        }
        for row in read_csv(path)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wanted", nargs="*", default=WANTED)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    networks = {wanted: built(*network_of(wanted)) for wanted in asked.wanted}
    runs = {
        wanted: (build_engine(classifier, pixels, name="onnx"), pixels)
        for wanted, (classifier, pixels) in networks.items()
    }
    taken = milliseconds(runs, asked.turns)
    rows = []
    for wanted, (classifier, pixels) in networks.items():
        rows.append(
            {
                "network": wanted.partition("@")[0],
                "image_size": network_of(wanted)[1],
                "parameters": parameters(classifier.backbone),
                "gflops": round(gflops(classifier, pixels), 4),
                "milliseconds": round(taken[wanted], 2),
                "n": asked.turns,
                "command": " ".join(["python benchmarks/network_costs.py", *asked.wanted]),
                "commit": commit(),
                "machine": machine(),
            }
        )
    write_beside(asked.results, rows, COLUMNS, same=("network", "image_size"))
    print(*rows, sep="\n")


if __name__ == "__main__":
    main()
