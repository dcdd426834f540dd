"""What fewer labelled lesions cost: benchmarks/results/label_efficiency.csv and its drawing.

    python benchmarks/label_efficiency.py DATA CACHE [--recipe lite0_lr] [--shares .1 .3 .5 1]
    python benchmarks/label_efficiency.py DATA CACHE --recipe train --words experiment=ham_short

Of the training folds' lesions a share is kept, class by class, the smaller part inside the larger;
the judged fold is whole and always the same, so that every share is judged on all images. A recipe
takes which rows to train on and which to answer, and gives their logits: `NETWORK_lr` is logistic
regression on frozen vectors, `train` the train command with any words. Rows of other recipes stay.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from features import vectors
from oof import COLUMNS as OOF_COLUMNS
from oof import SCORES, figures
from probe import fit_probe
from probes import Images
from result_rows import write_beside

from dermasense.data.splits import assign_validation
from dermasense.evaluation.predictions import read_predictions
from dermasense.files import write_csv
from dermasense.provenance import commit, machine
from dermasense.reporting.drawing import BLUE, GREEN, VERMILION, Plot
from dermasense.run_folder import RunFolder

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "results" / "label_efficiency.csv"
SHOWN = {"top1": BLUE, "balanced_accuracy": VERMILION, "macro_f1": GREEN}
NAMES = {"top1": "top-1", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1"}
SHARES = (0.1, 0.3, 0.5, 1.0)
COLUMNS = [
    *"dataset recipe share train_images train_lesions n n_groups folds".split(),
    *(each for each in OOF_COLUMNS if each.removesuffix("_low").removesuffix("_high") in SCORES),
    *"command commit machine".split(),
]
# Rows to train on and rows to answer (masks), and the name of the fold's work -> logits.
Recipe = Callable[[np.ndarray, np.ndarray, str], np.ndarray]


def kept(y: np.ndarray, groups: np.ndarray, rows: np.ndarray, share: float) -> np.ndarray:
    """The part of `rows` (a mask) whose lesions are kept: of each class the first of one order."""
    names, first = np.unique(groups[rows], return_index=True)
    order = np.random.default_rng(0).permutation(len(names))
    classes = y[rows][first][order]
    chosen = []
    for name in np.unique(classes):
        lesions = names[order][classes == name]
        chosen.append(lesions[: max(2, round(share * len(lesions)))])
    return rows & np.isin(groups, np.concatenate(chosen))


def probe_recipe(images: Images, network: str, cache: Path) -> Recipe:
    """Logistic regression on the frozen vectors of a network, one view."""
    x = vectors(images.paths, network, "none", cache)[0]
    y, groups, classes = images.labels, images.groups, len(images.catalog.class_names)

    def answer(train: np.ndarray, judged: np.ndarray, name: str) -> np.ndarray:
        return fit_probe(x[train], y[train], groups[train], classes).logits(x[judged])

    return answer


def train_recipe(images: Images, words: list[str], work: Path) -> Recipe:
    """The train command on a table of the kept images; 0.15 of their images validate."""
    frame, names = images.catalog.frame, images.catalog.class_names

    def answer(train: np.ndarray, judged: np.ndarray, name: str) -> np.ndarray:
        run = RunFolder(work / name)
        table = work / f"{name}.csv"
        part = np.where(judged, "test", "train").astype(object)
        part[train] = assign_validation(frame[train], names, share=0.15, seed=0)
        rows = frame.assign(split=part)[train | judged]
        columns = ["image_id", "path", "label", "group", "split"]
        write_csv(table, rows[columns].to_dict("records"), columns)
        if not run.finished.exists():
            command = ["data=csv", "split=column", f"data.file={table}"]
            command += [f"data.class_names=[{','.join(names)}]", f"hydra.run.dir={run.path}"]
            command = [f"resume={run.path}"] if run.config.is_file() else [*words, *command]
            subprocess.run([sys.executable, "-m", "dermasense.train", *command], check=True)
        test = read_predictions(run.predictions("test"), names)
        place = {image: row for row, image in enumerate(test.frame["image_id"].astype(str))}
        return test.logits[[place[str(image)] for image in frame.loc[judged, "image_id"]]]

    return answer


def rows(images: Images, recipe: Recipe, name: str, shares: list[float], resamples: int) -> list:
    """A row a share: all images, each judged by what was trained on a share of the other folds."""
    y, groups, fold = images.labels, images.groups, images.fold
    found = []
    for share in shares:
        logits, sizes = np.empty((len(y), len(images.catalog.class_names))), []
        for k in range(int(fold.max()) + 1):
            judged = fold == k
            train = kept(y, groups, ~judged, share)
            logits[judged] = recipe(train, judged, f"{name}_{share:g}_fold_{k}")
            sizes.append((train.sum(), len(np.unique(groups[train]))))
        images_, lesions = np.mean(sizes, axis=0)
        about = {"dataset": images.catalog.name, "recipe": name, "share": share}
        about |= {"train_images": round(images_), "train_lesions": round(lesions)}
        found.append(about | figures(images.predictions(logits), resamples))
        print(name, share, {each: found[-1][each] for each in SHOWN}, flush=True)
    return found


def drawing(rows: list[dict], recipe: str) -> str:
    """Top-1, balanced accuracy and macro-F1 over the number of training lesions, as SVG."""
    rows = [row for row in rows if row["recipe"] == recipe]
    lesions = [float(row["train_lesions"]) for row in rows]
    lowest = min(float(row[f"{name}_low"]) for row in rows for name in SHOWN)
    plot = Plot(
        f"Top-1, balanced accuracy and macro-F1 of {recipe} out of fold over the number of "
        "training lesions, with 95 % intervals.",
        size=(520, 300),
        x=(0, max(lesions) * 1.03),
        y=(np.floor(lowest * 10) / 10, 1.0),
        xlabel="training lesions in each fold",
        xticks=lesions,
    )
    for number, (name, colour) in enumerate(SHOWN.items()):
        plot.key(70 + 130 * number, NAMES[name], colour)
        ends = ([float(row[f"{name}{end}"]) for row in rows] for end in ("", "_low", "_high"))
        values, low, high = ends
        plot.band(lesions, low, high, colour)
        plot.line(lesions, values, colour, dots=True)
    return plot.svg() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--recipe", default="lite0_lr")
    parser.add_argument("--words", nargs="*", default=[], help="of the train command")
    parser.add_argument("--name", help="of the recipe in the table")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    images = Images.of(asked.data, "ham10000", asked.cache)
    name = asked.name or asked.recipe
    command = f"python benchmarks/label_efficiency.py DATA CACHE --recipe {asked.recipe}"
    if asked.recipe == "train":
        recipe = train_recipe(images, asked.words, asked.cache / "label_efficiency")
        command += f" --name {name} --words {' '.join(asked.words)}"
    elif asked.recipe.endswith("_lr"):
        recipe = probe_recipe(images, asked.recipe.removesuffix("_lr"), asked.cache)
    else:
        raise SystemExit(f"--recipe {asked.recipe}: expected train, or NETWORK_lr such as lite0_lr")
    about = {"command": command, "commit": commit(), "machine": machine()}
    new = [row | about for row in rows(images, recipe, name, asked.shares, asked.resamples)]
    write_beside(asked.results, new, COLUMNS, same=["recipe"])


if __name__ == "__main__":
    main()
