"""What test-time augmentation gains over one view, and what it costs: benchmarks/results/tta.csv.

    python benchmarks/tta.py RUN [RUN ...] --root ham10000=DIR --root fitzpatrick21=DIR

Each view of the test split is answered once; sets are averaged from these answers. Gains are paired
differences to `none` with 95 % intervals over groups. The cost is processor time, not time on the
clock: sets and `none` take turns on the same 96 images, and the median of the ratios is kept. The
test split is looked at here to report, never to choose: choose views by a run's validation table.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax

from dermasense.data.prepared import prepare_data
from dermasense.evaluation.compare import differences
from dermasense.evaluation.predictions import read_predictions
from dermasense.evaluation.scores import Scores
from dermasense.files import write_csv
from dermasense.inference.predictor import Predictor
from dermasense.inference.views import AVERAGES, SETS, averaged, view_names
from dermasense.provenance import commit, machine
from dermasense.run_folder import RunFolder
from dermasense.targets import build

CHOICES = [*(name for name in SETS if name != "none"), "flips+scales", "flips+crops"]
GAINS = ("top1", "balanced_accuracy", "macro_f1", "nll")
TIMED, TURNS = 96, 5
COLUMNS = (
    ["dataset", "experiment", "split", "views", "average", "passes", "time_ratio"]
    + [f"{name}{end}" for name in GAINS for end in ("", "_gain", "_gain_low", "_gain_high")]
    + ["n", "n_groups", "command", "commit", "machine"]
)


def rows(run: RunFolder, root: str, cache: str, resamples: int) -> list[dict]:
    """A row for each choice of views and average, `none` first."""
    _, settings = run.read_config()
    test = read_predictions(run.predictions("test"))
    predictor = Predictor.of(run.path)
    images = pixels(settings, root, predictor, cache, test.frame["image_id"].tolist())
    seen = {name: _answer(run, name, images) for name in view_names("+".join(CHOICES))}
    own = test.in_order(predictor.class_names)
    alone = own.with_logits(seen["as_is"])
    same = np.abs(_log(alone.logits) - _log(own.logits)).max()
    print(f"{run.path}: largest difference to the run's own log-probabilities {same:.2g}")
    about = {"dataset": settings["data"]["name"], "experiment": settings["name"], "split": "test"}
    about |= {"n": len(test), "n_groups": test.n_groups, "commit": commit(), "machine": machine()}
    about |= {"command": f"python benchmarks/tta.py {run.path} --root {about['dataset']}=DIR"}
    ratio = _cost(run, images[:TIMED])
    found = [_row(about, "none", "log", alone, alone, 1.0, resamples)]
    for views in CHOICES:
        stack = torch.stack([torch.from_numpy(_log(seen[name])) for name in view_names(views)])
        for average in AVERAGES:
            other = alone.with_logits(averaged(stack, average).numpy())
            found.append(_row(about, views, average, alone, other, ratio[views], resamples))
            print(found[-1]["views"], average, [found[-1][f"{key}_gain"] for key in GAINS])
    return found


def pixels(settings: dict, root: str, predictor: Predictor, cache: str, ids: list) -> np.ndarray:
    """Pixels (N, S, S, 3) of the images of these ids, as a run's network sees them."""
    source = settings["data"]["source"]
    if root:
        source = {**source, "root": root}
    prepared = prepare_data(build(source), predictor.spec, cache_dir=cache, split=settings["split"])
    names = prepared.catalog.frame["image_id"].astype(str)
    place = dict(zip(names, prepared.rows, strict=True))
    return prepared.store.images[[place[str(each)] for each in ids]]


def _answer(run: RunFolder, view: str, images: np.ndarray) -> np.ndarray:
    return Predictor.of(run.path, views=view).logits(images)


def _cost(run: RunFolder, images: np.ndarray) -> dict[str, float]:
    """Median over turns of each set's processor time over that of `none` in the same turn."""
    engines = {views: Predictor.of(run.path, views=views) for views in ("none", *CHOICES)}
    spent: dict[str, list[float]] = {views: [] for views in engines}
    for turn in range(TURNS + 1):  # the first builds the engines and warms them up
        for views, predictor in engines.items():
            before = time.process_time()
            predictor.logits(images)
            if turn:
                spent[views].append(time.process_time() - before)
    ratios = {views: np.array(each) / np.array(spent["none"]) for views, each in spent.items()}
    return {views: float(np.median(each)) for views, each in ratios.items()}


def _log(logits: np.ndarray) -> np.ndarray:
    return log_softmax(logits.astype(np.float64), axis=1)


def _row(about, views, average, alone, other, ratio, resamples) -> dict:
    row = {**about, "views": views, "average": average, "passes": len(view_names(views))}
    row["time_ratio"] = round(ratio, 2)
    once = Scores(other, ranking=False)(np.ones((other.n_groups, 1)))
    gains = {}
    if views != "none":
        gains = differences(alone, other, resamples=resamples, ranking=False)
    for name in GAINS:
        row[name] = round(float(once[name][0]), 4)
        for end, of in (("_gain", "value"), ("_gain_low", "low"), ("_gain_high", "high")):
            row[f"{name}{end}"] = round(getattr(gains[name], of), 4) if gains else ""
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--root", action="append", default=[], help="ham10000=DIR")
    parser.add_argument("--cache", default="outputs/cache")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tta.csv"))
    arguments = parser.parse_args()
    roots = dict(word.split("=", 1) for word in arguments.root)
    found: list[dict] = []
    for path in arguments.runs:
        run = RunFolder(path)
        name = run.read_config()[1]["data"]["name"]
        found += rows(run, roots[name], arguments.cache, arguments.resamples)
        write_csv(arguments.out, found, COLUMNS)


if __name__ == "__main__":
    main()
