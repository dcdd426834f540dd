"""How often groups are called different that are not: benchmarks/results/fairness_false_alarms.csv.

    python benchmarks/fairness_false_alarms.py

Tables whose labels are drawn from the predicted probabilities, so that the model serves all groups
alike and is calibrated in each. A false alarm is a table with a pair of groups whose difference is
called one. ECE is tried as well, to show why the audit does not compare it.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from dermasense.evaluation.bootstrap import resampled, wilson
from dermasense.evaluation.fairness.gaps import gap_of
from dermasense.evaluation.fairness.scores import COMPARED, GroupScores
from dermasense.evaluation.predictions import Predictions
from dermasense.files import write_csv
from dermasense.provenance import commit, machine

CLASSES = ("nv", "mel", "bcc", "bkl", "df")
SIZES = ((240, 110, 40), (300, 300), (160, 80, 40, 150, 90, 60))
PER_LESION = 1.3
COLUMNS = ["images_by_group", "metric", "false_alarms", "low", "high", "mean_gap", "mean_by_chance"]
COLUMNS += ["n", "resamples", "command", "commit", "machine"]


def table(seed: int, sizes: tuple[int, ...]) -> Predictions:
    """Images in groups of these sizes, 1.3 a lesion, all served alike."""
    rng, n = np.random.default_rng(seed), sum(sizes)
    p = rng.dirichlet(np.full(len(CLASSES), 0.35), size=n)
    labels = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    lesions = [
        1000 * place + rng.integers(int(size / PER_LESION), size=size)
        for place, size in enumerate(sizes)
    ]
    frame = pd.DataFrame({"image_id": np.arange(n).astype(str), "group": np.concatenate(lesions)})
    frame["label"] = [CLASSES[label] for label in labels]
    return Predictions(frame, np.log(p + 1e-9), CLASSES)


def rows(sizes: tuple[int, ...], tables: int, resamples: int) -> list[dict]:
    """A row a metric."""
    names = [str(place) for place in range(len(sizes))]
    codes = np.repeat(np.arange(len(sizes)), sizes)
    seen: dict[str, list] = {metric: [] for metric in (*COMPARED, "ece")}
    for seed in range(tables):
        scores = GroupScores(table(seed, sizes), codes, names)
        points, behind = scores(np.ones((scores.n_groups, 1))), scores.behind()
        draws = resampled(scores, resamples, seed)
        for metric, found in seen.items():
            keys = [f"{metric}/{name}" for name in names]
            value = np.array([points[key][0] for key in keys])
            spread = np.stack([draws[key] for key in keys])
            gap = gap_of(metric, names, value, spread, [behind[key] for key in keys])
            found.append((bool(gap.differences), gap.largest.value, gap.by_chance))
    made = []
    for metric, found in seen.items():
        alarms, gap, chance = np.mean(found, axis=0)
        low, high = wilson(float(alarms), tables)
        row = {"images_by_group": " ".join(map(str, sizes)), "metric": metric}
        row |= {"false_alarms": alarms, "low": low, "high": high}
        made.append(row | {"mean_gap": gap, "mean_by_chance": chance, "n": tables})
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=600)
    parser.add_argument("--resamples", type=int, default=300)
    place = Path("benchmarks/results/fairness_false_alarms.csv")
    parser.add_argument("--out", type=Path, default=place)
    arguments = parser.parse_args()
    about = {"resamples": arguments.resamples, "commit": commit(), "machine": machine()}
    about["command"] = "python benchmarks/fairness_false_alarms.py"
    found = [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        for sizes in SIZES
        for row in rows(sizes, arguments.tables, arguments.resamples)
    ]
    write_csv(arguments.out, [row | about for row in found], COLUMNS)
    print(pd.DataFrame(found).to_string())


if __name__ == "__main__":
    main()
