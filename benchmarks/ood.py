"""How well a bundle tells pictures that are no skin lesions: benchmarks/results/ood.csv.

    python benchmarks/ood.py <run> --near DIR --external DIR --data-root DIR

Fitted on the run's validation part, judged on its test part against pictures of other kinds: the
sample pictures that scikit-image and scikit-learn bring, faces of scikit-image's LFW subset, drawn
ones (blank, noise, screenshots, like X-rays), clinical photographs of skin (near), and
dermatoscopic pictures of the same publisher (external), which should not be told apart. That one
direction in twenty is kept was settled after a look at such figures; 1 in 40 to 1 in 10 give AUROCs
within .01 for pictures that are no skin, so the figures of "residual" are a little hopeful.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import skimage
import sklearn
from PIL import Image, ImageDraw, ImageFilter
from result_rows import write_beside
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from dermasense.inference.fitting import pictures_of_run
from dermasense.inference.novelty import FALSE_ALARMS, Novelty
from dermasense.inference.predictor import Predictor
from dermasense.provenance import commit, machine
from dermasense.run_folder import RunFolder
from dermasense.targets import build

COLUMNS = (
    "dataset experiment method out n n_groups n_out auroc auroc_low auroc_high "
    "warned_in warned_out command commit machine"
).split()
DRAWS = 1000
Vectors = tuple[np.ndarray, np.ndarray]  # logits, embeddings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--near", type=Path, required=True)
    parser.add_argument("--external", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ood.csv"))
    arguments = parser.parse_args()
    predictor = Predictor.of(arguments.run)
    _, settings = RunFolder(arguments.run).read_config()
    fitted_on = pictures_of_run(arguments.run, arguments.data_root)
    fit = vectors(predictor, (source() for source in fitted_on.sources))
    paths, groups = test_part(arguments.run, settings, arguments.data_root)
    inside = vectors(predictor, paths)
    outside = {name: vectors(predictor, pictures) for name, pictures in others(arguments).items()}
    known = {
        "dataset": settings["data"]["name"],
        "experiment": settings["name"],
        "command": "python benchmarks/ood.py RUN --data-root DIR --near DIR --external DIR",
        "commit": commit(),
        "machine": machine(),
    }
    rows = [
        {**known, "method": method, "out": name, **judged(score, limit, inside, groups, out)}
        for method, (score, limit) in methods(fit, fitted_on.groups).items()
        for name, out in outside.items()
    ]
    write_beside(arguments.out, rows, COLUMNS, same=["experiment"])
    for row in rows:
        print(row["method"], row["out"], row["auroc"], row["warned_in"], row["warned_out"])


def vectors(predictor: Predictor, pictures: Iterable) -> Vectors:
    """Logits and embeddings; pictures are paths or PIL pictures."""
    pixels = [predictor.pixels(picture) for picture in pictures]
    return predictor.logits_and_embeddings(pixels)


def test_part(run: Path, settings: dict, root: str) -> tuple[list[str], np.ndarray]:
    """Paths and lesions of the run's test pictures."""
    frame = build({**settings["data"]["source"], "root": root}).frame
    split = pd.read_csv(RunFolder(run).splits, dtype=str)
    test = split[split["split"] == "test"].merge(frame[["image_id", "path"]], on="image_id")
    return test["path"].tolist(), test["group"].to_numpy()


def methods(fit: Vectors, groups: list[str]) -> dict[str, tuple[Callable, float | None]]:
    """Score (larger is stranger) and limit of each method; no limit where it would need folds."""
    embeddings = fit[1]
    detector = Novelty.fit(embeddings, groups)
    spread = LedoitWolf().fit(embeddings)
    bank = unit(embeddings)

    def nearest(out: Vectors, skip: int = 0) -> np.ndarray:
        return 1 - np.sort(unit(out[1]) @ bank.T, axis=1)[:, -10 - skip]

    def energy(out: Vectors) -> np.ndarray:
        return -logsumexp(out[0], axis=1)

    def unsure(out: Vectors) -> np.ndarray:
        return -np.exp(out[0].max(axis=1) - logsumexp(out[0], axis=1))

    limits = [np.quantile(f, 1 - FALSE_ALARMS) for f in (nearest(fit, 1), energy(fit), unsure(fit))]
    return {
        "residual (used)": (lambda out: detector.distance(out[1]), 1.0),
        "mahalanobis, Ledoit-Wolf": (lambda out: spread.mahalanobis(out[1]), None),
        "10th neighbour, cosine": (nearest, limits[0]),
        "energy": (energy, limits[1]),
        "largest probability": (unsure, limits[2]),
    }


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def judged(
    score: Callable, limit: float | None, inside: Vectors, groups: np.ndarray, out: Vectors
) -> dict:
    """AUROC with a 95 % percentile interval: lesions drawn inside, pictures outside."""
    ours, theirs = score(inside), score(out)
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    draws = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        draws.append(auroc(ours[rows], rng.choice(theirs, len(theirs))))
    low, high = np.quantile(draws, [0.025, 0.975])
    shares = (
        ("", "") if limit is None else [round(float(np.mean(x > limit)), 4) for x in (ours, theirs)]
    )
    return {
        "n": len(ours),
        "n_groups": len(members),
        "n_out": len(theirs),
        "auroc": round(auroc(ours, theirs), 4),
        "auroc_low": round(float(low), 4),
        "auroc_high": round(float(high), 4),
        "warned_in": shares[0],
        "warned_out": shares[1],
    }


def auroc(ours: np.ndarray, theirs: np.ndarray) -> float:
    truth = np.concatenate([np.zeros(len(ours)), np.ones(len(theirs))])
    return float(roc_auc_score(truth, np.concatenate([ours, theirs])))


def others(arguments: argparse.Namespace) -> dict[str, list]:
    """Pictures that are not of the training's kind, by kind."""
    rng = np.random.default_rng(0)
    samples = Path(skimage.__file__).parent / "data"
    photos = sorted([*samples.glob("*.png"), *samples.glob("*.jpg")])
    photos += sorted((Path(sklearn.__file__).parent / "datasets" / "images").glob("*.jpg"))
    faces = (np.load(samples / "lfw_subset.npy")[:100] * 255).astype(np.uint8)
    return {
        "sample pictures": photos,
        "faces": [Image.fromarray(face) for face in faces],
        "blank": [Image.new("RGB", (64, 64), colour(rng, n % 2)) for n in range(50)],
        "noise": [
            Image.fromarray(rng.integers(0, 256, (200, 200, 3), np.uint8)) for _ in range(50)
        ],
        "screenshots (drawn)": [screenshot(rng, n) for n in range(50)],
        "like X-rays (drawn)": [radiograph(rng) for _ in range(50)],
        "clinical photographs": sorted(arguments.near.glob("images/*/*.jpg")),
        "external dermatoscopic": sorted(arguments.external.glob("images/*.jpg")),
    }


def colour(rng: np.random.Generator, grey: int) -> tuple[int, ...]:
    values = rng.integers(0, 256, 3)
    return (int(values[0]),) * 3 if grey else tuple(map(int, values))


def screenshot(rng: np.random.Generator, number: int) -> Image.Image:
    """Lines of words under a bar, dark on light or light on dark."""
    dark = number % 3 == 0
    image = Image.new("RGB", (640, 480), (30, 30, 30) if dark else "white")
    draw = ImageDraw.Draw(image)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    for y in range(50, 470, 14):
        words = [
            "".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(rng.integers(2, 14))
        ]
        draw.text((10, y), " ".join(words), fill="white" if dark else "black")
    draw.rectangle((0, 0, 640, 36), fill=colour(rng, 0))
    return image


def radiograph(rng: np.random.Generator) -> Image.Image:
    """A bright trunk on black, two dark lungs, ribs across them."""
    image = Image.new("L", (400, 400), 8)
    draw = ImageDraw.Draw(image)
    wide = int(rng.integers(120, 170))
    draw.ellipse((200 - wide, 20, 200 + wide, 460), fill=int(rng.integers(130, 200)))
    for side in (-1, 1):
        x = 200 + side * wide // 2
        draw.ellipse((x - 50, 80, x + 50, 330), fill=int(rng.integers(30, 70)))
    for y in range(90, 330, int(rng.integers(24, 36))):
        draw.arc((200 - wide, y, 200 + wide, y + 90), 180, 360, fill=190, width=7)
    draw.rectangle((192, 30, 208, 400), fill=210)
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(2, 5))))


if __name__ == "__main__":
    main()
