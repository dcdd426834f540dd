"""How much of the raw network's rate is left when pictures are read, judged and written down.

    python benchmarks/predict_rate.py [--images 320] [--repeats 5] [--engine onnx]

Pictures are JPEG files of 600 x 450 soft pixels; the network has random weights, and a detector of
unlike pictures as the shipped ones have. In turns, in one process:

- raw: ONNX Runtime as it comes (its own threads), or torch, on ready tensors, whole batches;
- engine: ours on ready pixels, logits and embeddings;
- decode: the files to ready pixels alone, on as many threads as there are cores;
- predict: what `python -m dermasense.predict` does once the bundle is loaded, to the last table.

Where decoding takes a share d of the processor time that raw takes, no order of the work leaves
more than 1 / (1 + d) of raw's rate on cores that raw alone fills: the column `bound`.
Writes benchmarks/results/predict_rate.csv.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dermasense.files import write_csv
from dermasense.inference.bulk import predict_all
from dermasense.inference.engine import _exported
from dermasense.inference.image_sources import open_images
from dermasense.inference.model import Model, load
from dermasense.inference.novelty import Novelty
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import build_classifier
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).parent / "results" / "predict_rate.csv"
NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
QUALITY = 95  # 600 x 450 at about the bytes of HAM10000's files


def make_bundle(folder: Path, backbone: str, size: int) -> Path:
    """A bundle of random weights, with a detector that was fitted on random vectors."""
    torch.manual_seed(0)
    classifier, spec, _ = build_classifier(
        backbone=backbone, num_classes=len(NAMES), head={"name": "linear"}, image_size=size
    )
    save_bundle(folder, classifier.eval(), spec, NAMES, {"note": "random weights"})
    model = load(folder, engine="torch")
    width = model.predictor.embeddings(np.zeros((1, size, size, 3), np.uint8)).shape[1]
    Novelty.fit(np.random.default_rng(0).normal(size=(200, width))).save(folder)
    return folder


def make_pictures(folder: Path, count: int, size: tuple[int, int] = (600, 450)) -> Path:
    """JPEG files of soft random pixels."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(60, 220, (30, 40, 3), dtype=np.uint8))
        soft = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.int16)
        grain = soft + rng.integers(-6, 7, soft.shape)
        picture = Image.fromarray(grain.clip(0, 255).astype(np.uint8))
        picture.save(folder / f"{number:05d}.jpg", quality=QUALITY)
    return folder


def ways(model: Model, place: Path, work: Path, engine: str) -> dict[str, Callable[[], None]]:
    """What is measured, by name; each call passes all pictures once."""
    images = open_images(place)
    rows, cores = range(len(images)), os.cpu_count() or 1

    def decode() -> list[np.ndarray]:
        with ThreadPoolExecutor(cores) as pool:
            return list(pool.map(lambda row: model.pixels(images.source(row)), rows))

    pixels = np.stack(decode())
    tensors = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    raw = _raw(model, tensors[:1], engine)
    step = model.predictor.batch_size

    def predict() -> None:
        with tempfile.TemporaryDirectory(dir=work) as out:
            predict_all(model, images, Path(out))

    return {
        "raw": lambda: [raw(tensors[first : first + step]) for first in rows[::step]],
        "engine": lambda: model.predictor.logits_and_embeddings(pixels),
        "decode": decode,
        "predict": predict,
    }


def _raw(model: Model, example: np.ndarray, engine: str) -> Callable[[np.ndarray], object]:
    network = model.predictor.bundle.classifier.eval()
    if engine == "torch":
        network = network.to(memory_format=torch.channels_last)
        run = torch.inference_mode()(lambda batch: network(torch.from_numpy(batch)))
        return run
    import onnxruntime

    session = onnxruntime.InferenceSession(
        _exported(network, example), providers=["CPUExecutionProvider"]
    )
    return lambda batch: session.run(None, {"input": batch})


def measure(found: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[tuple]]:
    """(seconds, processor seconds) of each way and turn; one turn beforehand is thrown away."""
    times: dict[str, list[tuple]] = {name: [] for name in found}
    for turn in range(repeats + 1):
        for name in list(found)[:: -1 if turn % 2 else 1]:
            wall, cpu = time.perf_counter(), time.process_time()
            found[name]()
            if turn:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def row_of(times: dict[str, list[tuple]], count: int) -> dict:
    """Medians over turns of rates, of ratios, and of milliseconds of processor time a picture."""

    def ratio(one: str, other: str, part: int) -> float:
        pairs = zip(times[one], times[other], strict=True)
        return round(statistics.median(b[part] / a[part] for a, b in pairs), 3)

    cpu = {name: statistics.median(t[1] for t in taken) for name, taken in times.items()}
    row = {"n": count, "repeats": len(times["raw"])}
    for name, taken in times.items():
        row[f"{name}_images_per_second"] = round(count / statistics.median(t[0] for t in taken), 1)
    for name, seconds in cpu.items():
        row[f"{name}_cpu_ms"] = round(1000 * seconds / count, 2)
    row |= {
        "ratio": ratio("predict", "raw", 0),
        "ratio_to_engine": ratio("predict", "engine", 0),
        "cpu_ratio": ratio("predict", "raw", 1),
        "cpu_ratio_to_engine": ratio("predict", "engine", 1),
        "decode_share": round(cpu["decode"] / cpu["raw"], 3),
        "bound": round(1 / (1 + cpu["decode"] / cpu["raw"]), 3),
        "bound_to_engine": round(1 / (1 + cpu["decode"] / cpu["engine"]), 3),
        "of_bound_to_engine": round(
            statistics.median(
                (e[1] + d[1]) / p[1]
                for e, d, p in zip(times["engine"], times["decode"], times["predict"], strict=True)
            ),
            3,
        ),
    }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--engine", choices=["onnx", "torch"], default="onnx")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bundle = make_bundle(work / "bundle", options.backbone, options.image_size)
        model = load(bundle, engine=options.engine, batch_size=options.batch_size)
        place = make_pictures(work / "pictures", options.images)
        times = measure(ways(model, place, work, options.engine), options.repeats)
    row = {
        "backbone": options.backbone,
        "input_size": options.image_size,
        "batch_size": options.batch_size,
        "engine": options.engine,
        "threads": torch.get_num_threads(),
        **row_of(times, options.images),
    }
    for key, value in row.items():
        print(f"{key:26} {value}")
    command = " ".join(["python", "benchmarks/predict_rate.py", *sys.argv[1:]])
    row |= {"command": command, "commit": commit(), "machine": machine()}
    write_csv(options.results, [row], list(row))


if __name__ == "__main__":
    main()
