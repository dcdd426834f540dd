"""Time and memory of each stage against one, two, four and eight times the images.

    python benchmarks/scale.py <folder of HAM10000> [--times 1 2 4 8] [--image-size 96]

The catalog is repeated: every copy of a row is a file, an image and a lesion of its own. Each
stage is a command of its own, so that its processor time and its memory are its own:

- prepare: read the table, decode and check every image, split;
- ordinary: one frozen epoch that reads, augments and passes every picture through the backbone;
- activations: compute one augmented view of every picture;
- cached: three epochs on those;
- evaluate: intervals, figures and the report of the test table;
- predict: the folder's answers by the bundle.

`ratio` is processor time an image beside that at the first size, after the cost of starting (that
of the same command on a few images) is taken off: 1 is linear. Memory is that of the process and
its children; anonymous memory is what the system cannot take back, mapped files are not.
Writes benchmarks/results/scale.csv.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import pandas as pd
from costs import Cost, cost_of

from dermasense.files import write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).parent / "results" / "scale.csv"
TABLE = "HAM10000_metadata.csv"
SMALL = 0.03  # of the images, for the cost of starting: few, but every class has some


def repeated(root: Path, times: float, file: Path) -> int:
    """Writes a catalog of `times` the images beside copies of them; below 1 a part of each class.

    Returns:
        The number of rows.
    """
    table = pd.read_csv(root / TABLE)
    frame = pd.DataFrame({"image_id": table["image_id"], "label": table["dx"]})
    frame["group"] = table["lesion_id"]
    if times < 1:
        frame = frame.groupby("label").head(max(10, round(times * len(frame) / 7)))
    copies = []
    for n in range(max(1, int(times))):
        folder = file.parent / f"images_{n}"
        folder.mkdir()
        for name in frame["image_id"]:
            shutil.copyfile(root / "images" / f"{name}.jpg", folder / f"{name}.jpg")
        paths = f"{folder.name}/" + frame["image_id"] + ".jpg"
        ids, groups = frame["image_id"] + f"_{n}", frame["group"] + f"_{n}"
        copies.append(frame.assign(image_id=ids, group=groups, path=paths))
    whole = pd.concat(copies, ignore_index=True)
    whole.to_csv(file, index=False)
    return len(whole)


def stages(root: Path, times: float, size: int, work: Path) -> tuple[int, dict[str, Cost]]:
    """Number of images, and the cost of each stage."""
    work.mkdir()
    count = repeated(root, times, work / "labels.csv")
    shared = [
        "data=csv",
        f"data.root={work}",
        "data.file=labels.csv",
        "model=lite0",
        "phases=frozen",
    ]
    shared += [f"model.image_size={size}", "logger=none", f"cache_dir={work / 'cache'}"]
    shared += ["batch_size=32", "report.images=false"]

    def train(name: str, *words: str) -> Cost:
        return cost_of("dermasense.train", *shared, *words, f"hydra.run.dir={work / name}")

    first = ["cache=none", "limit_epochs=1", "++trainer.limit_train_batches=1"]
    first += ["++trainer.limit_val_batches=1"]
    costs = {"prepare": train("prepare", *first)}
    costs["ordinary"] = train("ordinary", "cache=none", "phases.frozen.epochs=1")
    boundary = ["cache=boundary", "cache.views=1"]
    costs["activations"] = train("activations", *boundary, *first[1:])
    costs["cached"] = train("cached", *boundary, "phases.frozen.epochs=3")
    out = f"out={work / 'judged'}"
    costs["evaluate"] = cost_of("dermasense.evaluate", f"predictions={work / 'cached'}", out)
    words = [f"images={work / 'labels.csv'}", f"bundle={work / 'cached'}"]
    costs["predict"] = cost_of("dermasense.predict", *words, f"out={work / 'answers'}")
    return count, costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help=f"folder with {TABLE} and images/")
    parser.add_argument("--times", type=float, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--small", type=float, default=SMALL)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows: list[dict] = []
    command = f"python benchmarks/scale.py <folder>/{options.root.name}"
    command += f" --times {' '.join(f'{t:g}' for t in options.times)}"
    command += f" --image-size {options.image_size}"
    end = {"command": command, "commit": commit(), "machine": machine()}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        few, floor = stages(options.root, options.small, options.image_size, work / "small")
        reference: dict[str, float] = {}
        for times in options.times:
            count, costs = stages(options.root, times, options.image_size, work / f"{times:g}")
            for stage, cost in costs.items():
                each = (cost.cpu_seconds - floor[stage].cpu_seconds) / (count - few)
                reference.setdefault(stage, each)
                rows.append(
                    {
                        "stage": stage,
                        "times": f"{times:g}",
                        "n": count,
                        "input_size": options.image_size,
                        "seconds": round(cost.seconds, 1),
                        "cpu_seconds": round(cost.cpu_seconds, 1),
                        "start_cpu_seconds": round(floor[stage].cpu_seconds, 1),
                        "ratio": round(each / reference[stage], 2),
                        "peak_mib": round(cost.peak_mib),
                        "peak_anonymous_mib": round(cost.peak_anonymous_mib),
                        **end,
                    }
                )
                print("  ".join(f"{k} {rows[-1][k]}" for k in list(rows[-1])[:10]), flush=True)
            write_csv(options.results, rows, list(rows[0]))


if __name__ == "__main__":
    main()
