"""What other photographs of the test lesions in the training set are worth: results/leak.csv.

    python benchmarks/leak.py DATA CACHE [--network lite0] [--seeds 0 1 2 3 4]

Paired leak injection on HAM10000. The test images are one photograph each of lesions that have
several. Both training sets hold the same images of other lesions, and besides either one more
photograph of each test lesion (leaky) or as many images of other lesions with the same classes
(honest): equal size, equal classes, equal test images. At `share` .5 half of the test lesions are
given away. An image-level split gives away about as many as `share_in_image_split` says. The
models stand on frozen vectors: logistic regression, and the answer of the nearest neighbour.
The interval is over lesions, a lesion that is drawn bringing all its seeds.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from features import full_name, vectors
from probe import fit_probe
from probes import Images

from dermasense.data.splits import assign_folds
from dermasense.evaluation.compare import differences
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Scores
from dermasense.files import write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parent / "results" / "leak.csv"
METRICS = ("top1", "balanced_accuracy", "macro_f1")
SHARES = (0.5, 1.0)
TEST, BASE = 800, 4000  # lesions to test on; images of other lesions in both training sets
PENALTY = 0.01
COLUMNS = [
    *"dataset network model share share_in_image_split seeds train_images".split(),
    *(f"{m}_{arm}" for m in METRICS for arm in ("honest", "leaky")),
    *(f"{m}_gain{end}" for m in METRICS for end in ("", "_low", "_high")),
    *"n n_groups command commit machine".split(),
]


def drawn(y: np.ndarray, groups: np.ndarray, seed: int, test: int, base: int) -> dict:
    """Rows of one draw: test, base, siblings (of the test lesions) and strangers, all int arrays.

    Siblings and strangers have the same classes, position by position.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(y))
    by_lesion = pd.Series(order).groupby(groups[order], sort=False).apply(np.array)
    several = by_lesion[by_lesion.map(len) > 1]
    chosen = several.iloc[random.permutation(len(several))[:test]]
    tested = np.array([rows[0] for rows in chosen])
    siblings = np.array([rows[1] for rows in chosen])
    free = order[~np.isin(groups[order], chosen.index)]
    strangers = []
    for name in np.unique(y[siblings]):
        wanted = int((y[siblings] == name).sum())
        strangers.append(free[y[free] == name][:wanted])
        if len(strangers[-1]) < wanted:
            raise SystemExit(f"{wanted} lesions of class {name} are tested; too few are left.")
    strangers = np.concatenate(strangers)
    siblings = siblings[np.argsort(y[siblings], kind="stable")]
    rest = free[~np.isin(free, strangers)]
    return {"test": tested, "base": rest[:base], "siblings": siblings, "strangers": strangers}


def logistic(x: np.ndarray, y: np.ndarray, seen: np.ndarray, classes: int) -> np.ndarray:
    """Logits of `seen` by logistic regression with a fixed penalty."""
    probe = fit_probe(x, y, np.arange(len(y)), classes, penalties=(PENALTY,))
    return probe.logits(seen)


def nearest(x: np.ndarray, y: np.ndarray, seen: np.ndarray, classes: int) -> np.ndarray:
    """Of each class the largest cosine between the picture and a training picture."""
    centre, scale = x.mean(0), x.std(0) + 1e-6
    x, seen = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (
        (x - centre) / scale, (seen - centre) / scale))  # fmt: skip
    likeness = seen @ x.T
    best = [likeness[:, y == c].max(axis=1, initial=-1.0) for c in range(classes)]
    return np.stack(best, axis=1)


MODELS = {"logistic regression": logistic, "nearest neighbour": nearest}


def share_given_away(images: Images) -> float:
    """Of the images of an image-level split into five, how many share a lesion with training."""
    frame, names = images.catalog.frame, images.catalog.class_names
    fold = assign_folds(frame, names, folds=5, seed=0, by="image").to_numpy()
    groups = images.groups
    return float(np.mean(np.concatenate([
        np.isin(groups[fold == k], groups[fold != k]) for k in range(5)
    ])))  # fmt: skip


def arms(
    x: np.ndarray, images: Images, model: str, share: float, seeds: list[int], test: int, base: int
) -> tuple[Predictions, Predictions, int]:
    """The answers to the same test images after honest and after leaky training, all seeds."""
    y, groups, names = images.labels, images.groups, images.catalog.class_names
    found: dict[str, list[np.ndarray]] = {"strangers": [], "siblings": []}
    frames = []
    for seed in seeds:
        rows = drawn(y, groups, seed, test, base)
        kept = np.random.default_rng(seed).permutation(len(rows["siblings"]))
        given = kept[: round(share * len(kept))]
        for arm, logits in found.items():
            # What is not given away is made up by strangers in both.
            extra = rows["strangers"].copy()
            extra[given] = rows[arm][given]
            train = np.concatenate([rows["base"], extra])
            logits.append(MODELS[model](x[train], y[train], x[rows["test"]], len(names)))
        tested = images.catalog.frame.iloc[rows["test"]][["image_id", "group", "label"]]
        frames.append(tested.assign(image_id=tested["image_id"].astype(str) + f"#{seed}"))
    frame = pd.concat(frames, ignore_index=True)
    honest, leaky = (Predictions(frame, np.concatenate(each), names) for each in found.values())
    return honest, leaky, len(train)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--network", default="lite0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    images = Images.of(asked.data, "ham10000", asked.cache)
    x = vectors(images.paths, asked.network, "none", asked.cache)[0]
    about = {"dataset": "ham10000", "seeds": len(asked.seeds)}
    about |= {"network": f"{full_name(asked.network)}, frozen"}
    about |= {"share_in_image_split": round(share_given_away(images), 4)}
    about |= {"command": f"python benchmarks/leak.py DATA CACHE --network {asked.network}"}
    about |= {"commit": commit(), "machine": machine()}
    rows = []
    for model in MODELS:
        for share in SHARES:
            honest, leaky, size = arms(x, images, model, share, asked.seeds, TEST, BASE)
            rows.append(about | {"model": model, "share": share, "train_images": size})
            rows[-1] |= compared(honest, leaky) | {"n": len(honest), "n_groups": honest.n_groups}
            print(model, share, {m: rows[-1][f"{m}_gain"] for m in METRICS}, flush=True)
    write_csv(asked.results, rows, COLUMNS)


def compared(honest: Predictions, leaky: Predictions, resamples: int = 1000) -> dict:
    """Both values of each metric, and leaky minus honest with its interval."""
    once = np.ones((honest.n_groups, 1))
    values = {}
    for arm, table in (("honest", honest), ("leaky", leaky)):
        scores = Scores(table, ranking=False)(once)
        values |= {f"{m}_{arm}": round(float(scores[m][0]), 4) for m in METRICS}
    found = differences(honest, leaky, resamples=resamples, ranking=False)
    for m in METRICS:
        for end, value in (("", "value"), ("_low", "low"), ("_high", "high")):
            values[f"{m}_gain{end}"] = round(getattr(found[m], value), 4)
    return values


if __name__ == "__main__":
    main()
