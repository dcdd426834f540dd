"""Peak memory of SMOTE on all of HAM10000: building the recipe, then reading one epoch of samples.

    python benchmarks/smote_memory.py <data.root> [--cache <folder>] [--image-size 224]

All 10,015 images are balanced to the largest class, as if nothing were held out. The array that
imbalanced-learn would return is what the recipe is compared with. Pictures are decoded in a process
of their own, so that only SMOTE and reading count. Writes benchmarks/results/smote_memory.csv.
"""

import argparse
import csv
import os
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from dermasense.data.balance import build_rows
from dermasense.data.dataset import LesionImages
from dermasense.data.preprocess import InputSpec
from dermasense.data.sampling import EpochBatches
from dermasense.data.sources import ham10000
from dermasense.data.store import DecodedStore
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).parent / "results" / "smote_memory.csv"


class PeakMemory(threading.Thread):
    """Peaks of resident memory in MiB, read every few milliseconds from /proc (Linux).

    Attributes:
        total: all resident pages, those of the mapped store included.
        anonymous: those that the system cannot take back: arrays, not files.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.total, self.anonymous = 0.0, 0.0
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(0.005):
            total, anonymous = resident_mib()
            self.total, self.anonymous = max(self.total, total), max(self.anonymous, anonymous)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


def resident_mib() -> tuple[float, float]:
    """Resident memory of this process now: in all, and without pages of files."""
    pairs = (line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    kib = {key: value.split()[0] for key, value in pairs if key in ("VmRSS", "RssAnon")}
    return int(kib["VmRSS"]) / 1024, int(kib["RssAnon"]) / 1024


def decode(paths: list[str], spec: InputSpec, cache: str) -> None:
    DecodedStore.open_or_build(paths, spec, cache)


def measure(root: str, cache: str, image_size: int) -> dict:
    catalog = ham10000.catalog(root)
    paths = catalog.frame["path"].tolist()
    names = catalog.class_names
    labels = catalog.frame["label"].map({n: i for i, n in enumerate(names)}).to_numpy(np.int64)
    spec = InputSpec(image_size, "squash", (0.5,) * 3, (0.5,) * 3)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(decode, paths, spec, cache).result()
    import dermasense.data.smote  # noqa: F401  imports belong to the floor

    floor, floor_anonymous = resident_mib()
    peak = PeakMemory()
    peak.start()
    store = DecodedStore.open_or_build(paths, spec, cache)
    start = time.perf_counter()
    rows = build_rows("smote", labels, store.images, names, seed=0)
    recipe_seconds = time.perf_counter() - start
    recipe_peak = peak.total
    start = time.perf_counter()
    data = LesionImages(store.images, np.arange(len(labels)), labels)
    samples = 0
    for keys in EpochBatches(rows, 32, seed=0, phase=0, epoch=0):
        samples += len(data[keys]["label"])
    epoch_seconds = time.perf_counter() - start
    peak.stop()
    return {
        "dataset": "ham10000",
        "n": len(labels),
        "image_size": image_size,
        "k_neighbors": 5,
        "samples": samples,
        "synthetic": samples - len(labels),
        "array_float32_gib": round(samples * image_size**2 * 3 * 4 / 2**30, 1),
        "floor_mib": round(floor),
        "recipe_above_floor_mib": round(recipe_peak - floor),
        "peak_above_floor_mib": round(peak.total - floor),
        "peak_anonymous_above_floor_mib": round(peak.anonymous - floor_anonymous),
        "recipe_seconds": round(recipe_seconds, 1),
        "epoch_seconds": round(epoch_seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="folder with HAM10000_metadata.csv and the images")
    parser.add_argument("--cache", default="outputs/cache", help="folder of the decoded images")
    parser.add_argument("--image-size", type=int, default=224)
    options = parser.parse_args()
    row = measure(options.root, options.cache, options.image_size)
    # Named by its last folder: where the images lie on this machine is nobody's business.
    row["command"] = (
        f"python benchmarks/smote_memory.py <folder>/{Path(options.root).name} "
        f"--image-size {options.image_size}"
    )
    row |= {"commit": commit(), "machine": machine()}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    temporary = RESULTS.with_suffix(".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
    os.replace(temporary, RESULTS)
    for name, value in row.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    sys.exit(main())
