"""Does a 95 % interval hold the truth in 95 of 100 data sets? Simulated, for every metric.

A population of lesions is made up, with several photographs of some and classes as rare as in the
real data. Data sets of the size of a test split are drawn from it, each gets its intervals, and the
table counts how often they hold the population's own value, and on which side they miss. Run

    python benchmarks/bootstrap_coverage.py --population ham_test
    python benchmarks/bootstrap_coverage.py --population fitzpatrick_test

(about 15 minutes each on one core; with --areas the areas under the ROC curve alone, in 2; with
--paired the difference of two models on the same images, in 4), which append to
benchmarks/results/bootstrap_coverage.csv. Its column `rules` says "current" for what bootstrap.py
does now, "bca" for areas under the ROC curve and for differences before they had rules of their
own, and "first" for BCa without the widening of means over classes and without a rule of its own
for ECE, which those rows led to.
"""

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from dermasense.evaluation.bootstrap import interval, jackknifed, resampled
from dermasense.evaluation.confusion import mean_of_defined
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Behind, Scores

HAM = {"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}
# fmt: off
CONDITIONS = [
    407, 328, 239, 234, 181, 143, 128, 127, 122, 119, 109, 109, 106, 83, 79, 78, 64, 58, 55, 48, 43
]
# fmt: on
FITZPATRICK = {f"condition {place}": images for place, images in enumerate(CONDITIONS)}
COLUMNS = [
    "population", "groups", "datasets", "resamples", "rules", "metric", "truth", "n_groups_behind",
    "coverage", "interval_below", "interval_above", "width", "coverage_percentile", "not_defined",
    "command",
]  # fmt: skip


@dataclass(frozen=True)
class Population:
    """Lesions whose logits are signal + what a lesion shares + what a photograph adds."""

    classes: dict[str, int]
    groups: int
    signal: float
    prior: float = 0.7
    scale: float = 1.2

    def draw(self, groups: int, rng: np.random.Generator) -> Predictions:
        names = tuple(self.classes)
        shares = np.array(list(self.classes.values()), dtype=float)
        shares /= shares.sum()
        lesion = np.repeat(np.arange(groups), rng.choice([1, 2, 3], groups, p=[0.72, 0.22, 0.06]))
        labels = rng.choice(len(names), groups, p=shares)[lesion]
        logits = 0.7 * rng.normal(size=(groups, len(names)))[lesion]
        logits += 0.7 * rng.normal(size=logits.shape) + self.prior * np.log(shares)
        logits[np.arange(len(lesion)), labels] += self.signal
        frame = pd.DataFrame(
            {"image_id": np.arange(len(lesion)), "group": lesion, "label": np.array(names)[labels]}
        )
        return Predictions(frame, self.scale * logits, names)

    def worse(self, table: Predictions, rng: np.random.Generator) -> Predictions:
        """The answers of a second model, which sees the same less clearly."""
        return table.with_logits(
            table.logits + 0.5 * self.scale * rng.normal(size=table.logits.shape)
        )

    def truth(self, measure: "Measure") -> dict[str, float]:
        seeds = [np.random.default_rng([1, part]) for part in range(24)]
        parts = [point(measure(self, 40_000, seed)) for seed in seeds]
        return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


class Areas(Scores):
    """The areas under the ROC curve alone, many times quicker; scores must not be tied.

    The images of the rarer side are ranked, and the weight of the others below each is a running
    sum over what lies between two of them.
    """

    def __init__(self, predictions: Predictions):
        super().__init__(predictions, ranking=False)
        sides = {f"auroc/{name}": [i] for i, name in enumerate(self.class_names)}
        if self._ill.any():
            sides["malignant_auroc"] = np.flatnonzero(self._ill)
        self._sides = {name: self._between(columns) for name, columns in sides.items()}

    def _between(self, columns) -> tuple[np.ndarray, csr_matrix]:
        score = self._probabilities[:, columns].sum(axis=1)
        positive = np.isin(self._labels, columns)
        if 2 * positive.sum() > len(positive):
            score, positive = -score, ~positive
        order = np.flatnonzero(positive)[np.argsort(score[positive])]
        place = np.searchsorted(score[order], score[~positive])
        shape = (len(order) + 1, self.n_groups)
        counts = (np.ones(len(place)), (place, self.groups[~positive]))
        return self.groups[order], csr_matrix(counts, shape)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        areas = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, (ranked, between) in self._sides.items():
                below, own = np.cumsum(between @ weights, axis=0), weights[ranked]
                areas[name] = (own * below[:-1]).sum(axis=0) / (own.sum(axis=0) * below[-1])
        each = [area for name, area in areas.items() if name.startswith("auroc/")]
        return areas | {"auroc_macro": mean_of_defined(np.stack(each, axis=-1))}


class Pair:
    """Second minus first, the metrics of two models on the same images; rankings left out."""

    def __init__(self, first: Predictions, second: Predictions):
        self._both = [Scores(each, ranking=False) for each in (first, second)]
        self.n_groups, self.n_images = first.n_groups, len(first)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        first, second = (each(weights) for each in self._both)
        return {name: second[name] - first[name] for name in first}

    def behind(self) -> dict[str, Behind]:
        first, second = (each.behind() for each in self._both)
        return {
            name: min(first[name], second[name], key=lambda each: each.freedom) for name in first
        }


Measure = Callable[[Population, int, np.random.Generator], Scores | Pair]


def whole(population: Population, groups: int, rng: np.random.Generator) -> Scores:
    return Scores(population.draw(groups, rng))


def areas(population: Population, groups: int, rng: np.random.Generator) -> Scores:
    return Areas(population.draw(groups, rng))


def paired(population: Population, groups: int, rng: np.random.Generator) -> Pair:
    first = population.draw(groups, rng)
    return Pair(first, population.worse(first, rng))


POPULATIONS = {
    "ham_test": Population(HAM, groups=1120, signal=2.2),
    "fitzpatrick_test": Population(FITZPATRICK, groups=430, signal=2.2),
}


def point(scores: Scores | Pair) -> dict[str, float]:
    return {name: float(v[0]) for name, v in scores(np.ones((scores.n_groups, 1))).items()}


def simulate(
    population: Population, datasets: int, resamples: int, measure: Measure = whole
) -> dict[str, dict]:
    truth = population.truth(measure)
    seen = defaultdict(lambda: defaultdict(list))
    for dataset in range(datasets):
        scores = measure(population, population.groups, np.random.default_rng([2, dataset]))
        values, behind = point(scores), scores.behind()
        draws, left_out = resampled(scores, resamples, dataset), jackknifed(scores, dataset)
        for name, target in truth.items():
            got = interval(
                name, values[name], draws[name], left_out[name], behind[name],
                difference=measure is paired,
            )  # fmt: skip
            seen[name]["not_defined"].append(got.low is None)
            if got.low is None:
                continue
            low, high = np.nanquantile(draws[name], [0.025, 0.975])
            seen[name]["coverage"].append(got.low <= target <= got.high)
            seen[name]["interval_below"].append(got.high < target)
            seen[name]["interval_above"].append(got.low > target)
            seen[name]["width"].append(got.high - got.low)
            seen[name]["coverage_percentile"].append(low <= target <= high)
            seen[name]["n_groups_behind"].append(got.n_groups)
    return {
        name: {"truth": round(truth[name], 4)}
        | {key: round(float(np.mean(values)), 4) for key, values in lists.items()}
        for name, lists in seen.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--population", choices=POPULATIONS, required=True)
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--groups", type=int, help="lesions of a data set; the population's else")
    parser.add_argument("--areas", action="store_true", help="areas under the ROC curve alone")
    parser.add_argument("--paired", action="store_true", help="differences of two models")
    default = Path(__file__).parent / "results" / "bootstrap_coverage.csv"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    population = POPULATIONS[options.population]
    population = replace(population, groups=options.groups or population.groups)
    measure = paired if options.paired else areas if options.areas else whole
    rows = simulate(population, options.datasets, options.resamples, measure)
    about = {
        "population": options.population,
        "groups": population.groups,
        "datasets": options.datasets,
        "resamples": options.resamples,
        "rules": "current",
        "command": "python " + " ".join(["benchmarks/bootstrap_coverage.py", *sys.argv[1:]]),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    new = not options.out.exists()
    with options.out.open("a", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        for name, row in rows.items():
            metric = f"{name} difference" if options.paired else name
            writer.writerow(about | {"metric": metric} | row)
            print(name, row)


if __name__ == "__main__":
    main()
