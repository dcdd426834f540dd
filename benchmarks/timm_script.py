"""Our training beside timm's own train.py: the same images, network, batches, augmentation.

    python benchmarks/timm_script.py <folder of HAM10000> --script <train.py of timm's repository>

timm's script is no part of its package. Without a GPU its two functions get the CPU as their
default device, which it forgets to tell them; nothing else of it is changed. Each run is a command
of its own, and the two take turns. Seconds an epoch are those of the longer run less those of the
shorter one, through the epochs that it has more: starting, the first batch and the report fall
away. Both see a handful of validation images. Ours reads pictures that were decoded when the run
began, timm's decodes JPEGs in every epoch; both with as many loader processes as ours picks here.
Writes benchmarks/results/timm_script.csv.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import timm
import torch

from dermasense.files import write_csv
from dermasense.provenance import commit, machine
from dermasense.training.hardware import resolve_workers

RESULTS = Path(__file__).resolve().parent / "results" / "timm_script.csv"
MODEL, BATCH, VALIDATED = "tf_efficientnet_lite0", 32, 4


def lay_out(root: Path, count: int, to: Path) -> None:
    """Links images as <to>/train/<class>/, and a few of each class as <to>/validation/<class>/."""
    table = pd.read_csv(root / "HAM10000_metadata.csv").sample(count, random_state=0)
    for label, rows in table.groupby("dx"):
        for part, names in (
            ("train", rows["image_id"]),
            ("validation", rows["image_id"][:VALIDATED]),
        ):
            folder = to / part / label
            folder.mkdir(parents=True)
            for name in names:
                (folder / f"{name}.jpg").symlink_to((root / "images" / f"{name}.jpg").resolve())


def seconds_of(words: list[str], folder: Path) -> float:
    """Wall-clock seconds of a command.

    Raises:
        SystemExit: where it fails; with what it said.
    """
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stderr[-3000:]}")
    return time.perf_counter() - start


class Bench:
    """Runs of both over the same images.

    Args:
        script: timm's train.py.
        data: as `lay_out` made it.
        work: where everything is written.
        side: of the input, in pixels.
    """

    def __init__(self, script: Path, data: Path, work: Path, side: int) -> None:
        self.data, self.work, self.side = data, work, side
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.workers = resolve_workers("auto")
        text = script.read_text(encoding="utf-8")
        if self.device == "cpu":
            text = text.replace("device=torch.device('cuda')", "device=torch.device('cpu')")
        self.script = work / "train.py"
        self.script.write_text(text, encoding="utf-8")

    def timm(self, epochs: int) -> float:
        """Seconds of timm's script."""
        words = f"--model {MODEL} --num-classes 7 --img-size {self.side} -b {BATCH} --opt adamw"
        words += f" --lr 1e-3 --epochs {epochs} --warmup-epochs 0 --workers {self.workers}"
        words += " --scale 0.8 1.0 --color-jitter 0.2 --channels-last --no-prefetcher"
        words += f" --device {self.device} --output {self.work / 'timm'} --log-interval 1000"
        return seconds_of(
            [str(self.script), "--data-dir", str(self.data), *words.split()], self.work
        )

    def ours(self, epochs: int) -> float:
        """Seconds of `dermasense.train`."""
        words = f"data=folder data.root={self.data / 'train'} data.follow_links=true"
        words += " model=lite0 weights=none"
        words += f" model.image_size={self.side} batch_size={BATCH} head=linear loss=ce"
        words += f" optimizer=adamw phases=full phases.full.epochs={epochs} logger=none"
        words += " trainer.precision=32-true"  # as timm's script without --amp
        words += " phases.full.patience=null augment=light augment.crop=0.8 split=image"
        words += " split.fractions=[0.98,0.01,0.01] report.images=false"
        words += (
            f" cache_dir={self.work / 'cache'} hydra.run.dir={self.work / 'ours' / str(epochs)}"
        )
        folder = self.work / "ours" / str(epochs)
        if folder.exists():
            folder.rename(folder.with_name(f"{epochs}_{time.time_ns()}"))
        return seconds_of(["-m", "dermasense.train", *words.split()], self.work)

    def trained(self) -> dict[str, int]:
        """Images an epoch of each."""
        split = pd.read_csv(next((self.work / "ours").glob("*/splits.csv")))["split"]
        count = sum(1 for _ in (self.data / "train").glob("*/*.jpg"))
        # timm leaves an incomplete last batch out.
        return {"ours": int((split == "train").sum()), "timm": count // BATCH * BATCH}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="folder of HAM10000")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--image-size", type=int, default=144)
    parser.add_argument("--epochs", type=int, nargs=2, default=[1, 3])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    short, long = options.epochs
    found: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as work:
        data = Path(work) / "data"
        lay_out(options.root, options.images, data)
        bench = Bench(options.script, data, Path(work), options.image_size)
        bench.ours(short)  # decodes
        images = bench.trained()
        for repeat in range(options.repeats):
            rates = {}
            for name in ("ours", "timm")[:: -1 if repeat % 2 else 1]:
                run = getattr(bench, name)
                seconds = (run(long) - run(short)) / (long - short)
                rates[name] = images[name] / seconds
            found.append((rates["ours"], rates["timm"]))
            print("  ".join(f"{name} {rate:.1f}" for name, rate in rates.items()), flush=True)
    row = {
        "backbone": MODEL,
        "input_size": options.image_size,
        "batch_size": BATCH,
        "images_per_second": round(statistics.median(a for a, _ in found), 1),
        "timm_images_per_second": round(statistics.median(b for _, b in found), 1),
        "ratio": round(statistics.median(a / b for a, b in found), 3),
        "repeats": options.repeats,
        "n": images["ours"],
        "workers": bench.workers,
        "device": bench.device,
        "timm": timm.__version__,
        "torch": torch.__version__,
        "command": f"python benchmarks/timm_script.py <folder>/{options.root.name} "
        f"--script <timm>/train.py --images {options.images} --image-size {options.image_size}",
        "commit": commit(),
        "machine": machine(),
    }
    write_csv(options.results, [row], list(row))
    print("\n".join(f"{key:30} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
