"""Whether maps point at the lesion, on drawn lesions whose place is known.

    python -m dermasense.train
    python benchmarks/explain.py outputs/quickstart/<time>

Pointing game (Zhang et al. 2018): the share of pictures in which the map's peak lies in the lesion,
with a Wilson interval over lesions, one picture each; and the mean share of the map's mass in the
lesion, with a t-interval. Beside every method: the middle of the picture, which lies in nearly
every lesion and is what a method must be compared with; a place drawn by chance; and Grad-CAM at
the last map of all. `randomised` is the rank correlation with the map of the same network with
weights drawn anew (Adebayo et al. 2018): near 0 for a method that looks at the network.
Lesions are drawn by other seeds than those of training.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr, t

from dermasense.data.lesion_painter import paint
from dermasense.data.lesion_population import draw_population
from dermasense.evaluation.bootstrap import wilson
from dermasense.files import write_csv
from dermasense.inference.explaining import METHODS, attribution, scaled
from dermasense.inference.explaining.cam import FEATURES, at
from dermasense.inference.explaining.explainer import carried
from dermasense.inference.model import Model, load
from dermasense.models.classifier import Classifier
from dermasense.provenance import commit, machine

RESULTS = Path("benchmarks/results/explain.csv")
COLUMNS = ["model", "method", "pointing", "pointing_low", "pointing_high"]
COLUMNS += ["mass", "mass_low", "mass_high", "lesion_share", "randomised", "n"]
COLUMNS += ["command", "commit", "machine"]
RANDOMISED = 20  # pictures of that comparison
SEED = 9000  # training draws by seeds near 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", help="of a run on synthetic images")
    parser.add_argument("--name", default="quickstart", help="of the model, in the table")
    parser.add_argument("--lesions", type=int, default=200)
    parser.add_argument("--image-px", type=int, default=320)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    model = load(options.bundle, engine="torch")
    command = f"python benchmarks/explain.py BUNDLE --name {options.name}"
    command += f" --lesions {options.lesions} --image-px {options.image_px}"
    end = {"n": options.lesions, "command": command, "commit": commit(), "machine": machine()}
    rows = []
    for row in measured(model, options.methods, options.lesions, options.image_px):
        rows.append({"model": options.name, **row, **end})
        print(row, flush=True)
        write_csv(options.results, rows, COLUMNS)


def measured(
    model: Model, methods: list[str], lesions: int, image_px: int, seed: int = SEED
) -> Iterator[dict]:
    """A row a way to point."""
    people = draw_population(seed=seed, n_lesions=lesions)
    drawn = [paint(person.lesion, person.views[0], image_px) for person in people]
    network, other = model.explainer.members[0].network, randomised(model)
    pixels = [model.pixels(image) for image, _ in drawn]
    answers = model.predictor.logits(pixels).argmax(1).tolist()
    masks = [mask for _, mask in drawn]
    share = round(float(np.mean([mask.mean() for mask in masks])), 4)
    rng = np.random.default_rng(seed)

    def row(name: str, maps: list[np.ndarray], with_mass: bool = True) -> dict:
        return {"method": name, "lesion_share": share, **scores(maps, masks, with_mass)}

    def over(found: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return carried(found, mask.shape[::-1], model.spec)

    yield row("middle of the picture", [_point(mask.shape, 0.5, 0.5) for mask in masks], False)
    places = [_point(mask.shape, *rng.uniform(size=2)) for mask in masks]
    yield row("a place by chance", places, False)
    last = [_at_last_map(network, one, answer) for one, answer in zip(pixels, answers, strict=True)]
    yield row("gradcam at the last map", [over(*pair) for pair in zip(last, masks, strict=True)])
    for method in methods:
        found = [
            attribution(network, one, answer, method)
            for one, answer in zip(pixels, answers, strict=True)
        ]
        few = zip(pixels[:RANDOMISED], answers, found, strict=False)
        alike = [_alike(one, attribution(other, p, a, method)) for p, a, one in few]
        maps = [over(*pair) for pair in zip(found, masks, strict=True)]
        yield {**row(method, maps), "randomised": round(float(np.mean(alike)), 3)}


def scores(maps: list[np.ndarray], masks: list[np.ndarray], with_mass: bool = True) -> dict:
    """Pointing game and mass of maps over masks, both (H, W); an empty map misses."""
    pairs = list(zip(maps, masks, strict=True))
    hits = [m.max() > 0 and mask[np.unravel_index(m.argmax(), m.shape)] for m, mask in pairs]
    value = float(np.mean(hits))
    low, high = wilson(value, len(hits))
    found = {"pointing": value, "pointing_low": low, "pointing_high": high}
    if with_mass:
        inside = [float(m[mask].sum() / m.sum()) if m.any() else 0.0 for m, mask in pairs]
        mean = float(np.mean(inside))
        reach = t.ppf(0.975, len(inside) - 1) * np.std(inside, ddof=1) / np.sqrt(len(inside))
        found |= {"mass": mean, "mass_low": mean - reach, "mass_high": mean + reach}
    return {key: round(float(number), 4) for key, number in found.items()}


def randomised(model: Model, seed: int = 0) -> Classifier:
    """The same architecture, weights and statistics of batch norms as in a new network."""
    torch.manual_seed(seed)
    network = type(model.explainer).of(model.predictor).members[0].network
    for module in network.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return network.eval()


def _at_last_map(network: Classifier, pixels: np.ndarray, target: int) -> np.ndarray:
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
    with torch.no_grad():
        features = network.features(images)
    small = Image.fromarray(scaled(at(network, features, FEATURES, target, "GradCAM")))
    return np.asarray(small.resize(pixels.shape[1::-1], Image.Resampling.BILINEAR))


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two maps; 0 where one is flat."""
    if not (np.ptp(one) and np.ptp(other)):
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def _point(shape: tuple[int, int], y: float, x: float) -> np.ndarray:
    found = np.zeros(shape, np.float32)
    found[min(int(y * shape[0]), shape[0] - 1), min(int(x * shape[1]), shape[1] - 1)] = 1
    return found


if __name__ == "__main__":
    main()
