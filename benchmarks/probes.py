"""Logistic regression on frozen EfficientNet-Lites, five folds out of fold.

    python benchmarks/probes.py DATA CACHE [--dataset ham10000] [--networks lite0 lite0+lite2]
                                [--views flips]

Fitted on the picture as it is, of four folds of benchmarks/folds/*.csv, judged on the fifth; with
--views the answers to these views are averaged (log-probabilities). Vectors are those of
`features.py`, which are computed where they are absent. Networks joined by "+" are concatenated.
Balanced weighs each image by the inverse of its class's count; half_prior subtracts half the log
prior of the training folds from the unweighted logits. The predictions go to `systems.csv`.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from features import full_name, network_of, source, vectors
from probe import Probe, fit_probe
from scipy.special import log_softmax
from systems import System, register

from dermasense.data.catalog import Catalog
from dermasense.evaluation.predictions import Predictions
from dermasense.inference.views import view_names

FOLDS = Path(__file__).resolve().parent / "folds"
WEIGHTINGS = {
    "": "logistic regression",
    "_balanced": "logistic regression, balanced weights",
    "_half_prior": "logistic regression, half the log prior subtracted",
}


@dataclass(frozen=True)
class Images:
    """Labels, groups and folds of a data set, in the order of its catalog."""

    catalog: Catalog
    fold: np.ndarray

    @classmethod
    def of(cls, data: Path, name: str, cache: Path) -> "Images":
        """The catalog with the committed folds and groups, whatever groups are found today.

        Raises:
            SystemExit: the folds are of other images.
        """
        catalog, path = source(data, name, cache), FOLDS / f"{name}.csv"
        folds = pd.read_csv(path, dtype={"image_id": str, "group": str}).set_index("image_id")
        frame = catalog.frame
        folds = folds.reindex(frame["image_id"].astype(str))
        if folds["fold"].isna().any():
            raise SystemExit(f"{path}: not the folds of these images; run folds.py")
        frame = frame.assign(group=folds["group"].to_numpy())
        return cls(replace(catalog, frame=frame), folds["fold"].to_numpy(int))

    @property
    def paths(self) -> list[str]:
        """The pictures."""
        return self.catalog.frame["path"].tolist()

    @property
    def groups(self) -> np.ndarray:
        """Names of the groups, (N,)."""
        return self.catalog.frame["group"].astype(str).to_numpy()

    @property
    def labels(self) -> np.ndarray:
        """Class indices, (N,)."""
        index = {name: i for i, name in enumerate(self.catalog.class_names)}
        return self.catalog.frame["label"].map(index).to_numpy(int)

    def predictions(self, logits: np.ndarray) -> Predictions:
        """A table of all images."""
        frame = self.catalog.frame[["image_id", "group", "label"]].assign(fold=self.fold)
        return Predictions(frame, logits, self.catalog.class_names)


def out_of_fold_probes(x: np.ndarray, images: Images, *, balanced: bool = False) -> list[Probe]:
    """The probe of each fold, fitted on the vectors (N, D) of the others."""
    y, groups, classes = images.labels, images.groups, len(images.catalog.class_names)
    probes = []
    for k in range(int(images.fold.max()) + 1):
        rest = images.fold != k
        probes.append(fit_probe(x[rest], y[rest], groups[rest], classes, balanced=balanced))
        print(f"  fold {k}: penalty {probes[-1].penalty}", flush=True)
    return probes


def answers(
    probes: list[Probe], seen: np.ndarray, fold: np.ndarray, half_prior: bool = False
) -> np.ndarray:
    """Log-probabilities (N, C) of each image by the probe of its fold, averaged over views.

    Args:
        probes: by fold.
        seen: vectors, (V, N, D).
        fold: (N,).
        half_prior: subtract half the log prior of each probe's training labels.
    """
    found = np.empty((seen.shape[1], len(probes[0].offsets)))
    for k, probe in enumerate(probes):
        here = fold == k
        logits = np.stack([probe.logits(view[here]) for view in seen])
        if half_prior:
            logits = logits - probe.log_prior / 2
        found[here] = log_softmax(log_softmax(logits, axis=-1).mean(0), axis=-1)
    return found


def run(images: Images, networks: str, views: str, cache: Path, command: str) -> None:
    """All weightings of one set of networks, registered."""
    dataset, names = images.catalog.name, networks.split("+")
    seen = np.concatenate([vectors(images.paths, name, views, cache) for name in names], axis=2)
    print(f"{networks}: vectors {seen.shape}", flush=True)
    probes = out_of_fold_probes(seen[0], images)
    weighed = out_of_fold_probes(seen[0], images, balanced=True)
    count = len(view_names(views))
    short = _short(networks)
    fitted_by = {"": probes, "_balanced": weighed, "_half_prior": probes}
    rows = [("", seen[:1])] + ([("", seen)] if count > 1 else [])
    for weighting, pictures in [*rows, ("_balanced", seen), ("_half_prior", seen)]:
        fitted, single = fitted_by[weighting], len(pictures) == 1
        ending = "" if single else f"_{views}"
        base = _base(short, weighting, ending, names)
        system = System(
            dataset,
            f"{short}_lr{weighting}{ending}",
            f"frozen {_said(names)}, {WEIGHTINGS[weighting]}, "
            + ("one view" if single else f"{count} views averaged"),
            base=base,
            networks=" ".join(f"{full_name(n)}x{len(pictures)}" for n in names),
            more_parameters=fitted[0].parameters,
            command=command,
        )
        logits = answers(fitted, pictures, images.fold, half_prior=weighting == "_half_prior")
        table = images.predictions(logits)
        register(system, table)
        print(f"  {system.system}: top-1 {(logits.argmax(1) == table.labels).mean():.4f}")


def _base(short: str, weighting: str, ending: str, names: list[str]) -> str:
    if weighting:
        return f"{short}_lr{ending}"
    if ending:
        return f"{short}_lr"
    return f"{_short(names[-1])}_lr" if len(names) > 1 else ""


def _short(networks: str) -> str:
    return networks.replace("+", "_").replace("@", "_")


def _said(names: list[str]) -> str:
    said = [f"{name.partition('@')[0]} at {network_of(name)[1]} px" for name in names]
    return " and ".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--dataset", default="ham10000")
    parser.add_argument("--networks", nargs="+", default=["lite0", "lite1", "lite2", "lite0+lite2"])
    parser.add_argument("--views", default="flips")
    asked = parser.parse_args()
    images = Images.of(asked.data, asked.dataset, asked.cache)
    for networks in asked.networks:
        command = f"python benchmarks/probes.py DATA CACHE --dataset {asked.dataset} "
        command += f"--networks {networks} --views {asked.views}"
        run(images, networks, asked.views, asked.cache, command)


if __name__ == "__main__":
    main()
