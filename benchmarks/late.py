"""What is added to answers that stand: metadata, lesions, half the prior, systems joined in one.

    python benchmarks/late.py DATA lite0_lr_flips lite2_lr_flips [--dataset ham10000]
                              [--only metadata | lesion | stack | mean | pool | half_prior |
                               prior]
                              [--system NAME] [--base NAME]

Works on the out-of-fold logits of `systems.csv`. For each fold everything is fitted on the images
of the other folds. Metadata (HAM10000 alone): the head of `dermasense.metadata_head` on the last
system named (age, sex, localization; never dx_type), its difference to the same head without
attributes, which is a system of its own (`_rescaled`). Stack: logistic regression on the
log-probabilities of all systems named; the other folds' logits come from models that saw this
fold's images in training, as in any stacking on out-of-fold predictions, but no label of the judged
fold is fitted on. Mean: of the probabilities of all systems named, with nothing fitted. Pool: the
mean of their log-probabilities, with weights of least negative log-likelihood on the other folds,
as `python -m dermasense.ensemble method=weights average=log` has it. Lesion: all photographs of a
lesion are answered alike, by the mean of the last system's log-probabilities of them, with nothing
fitted: it must be known which photographs show one lesion. Prior and half the prior: the last
system's logits less (half) the log prior of the other folds. Pool, lesion and priors are made where
--only asks for them. Differences are to the last system named, or to --base.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from probe import fit_probe
from scipy.special import log_softmax
from systems import RESULTS, System, register, systems

from dermasense.data.sources import ham10000
from dermasense.evaluation.by_lesion import by_lesion
from dermasense.evaluation.compare import paired
from dermasense.evaluation.ensembling import cross_fitted, mixed
from dermasense.evaluation.metadata_head import MetadataHead
from dermasense.evaluation.predictions import Predictions, read_predictions

ATTRIBUTES = ("age", "sex", "localization")


def with_metadata(
    table: Predictions, frame: pd.DataFrame, attributes: Sequence[str] = ATTRIBUTES
) -> Predictions:
    """The table with what age, sex and site say, the head of each fold fitted on the others.

    Args:
        table: with a column `fold`.
        frame: a catalog's frame with the attributes.
        attributes: of the frame; () for the head's scale and offsets alone.
    """
    about = frame.set_index("image_id").loc[table.frame["image_id"], list(attributes)]
    told = table.frame.assign(**{name: about[name].to_numpy() for name in attributes})
    table = Predictions(told, table.logits, table.class_names)
    fold, logits = told["fold"].to_numpy(), np.empty_like(table.logits, dtype=np.float64)
    for k in np.unique(fold):
        head = MetadataHead.fit(table.rows(fold != k), attributes)
        logits[fold == k] = head.apply(table.rows(fold == k)).logits
    return table.with_logits(logits)


def with_lesion(table: Predictions) -> Predictions:
    """Every photograph answered as its lesion is, from all photographs of it."""
    return table.with_logits(by_lesion(table).logits[table.groups])


def without_prior(table: Predictions, strength: float) -> Predictions:
    """Logits less the log prior of the labels of the other folds, of a table with `fold`.

    Args:
        table: the answers.
        strength: of the log prior; 1 is the rule for balanced accuracy, were the model calibrated.
    """
    fold, logits = table.frame["fold"].to_numpy(), table.logits.astype(np.float64)
    for k in np.unique(fold):
        counts = np.bincount(table.labels[fold != k], minlength=len(table.class_names))
        if not counts.all():
            name = table.class_names[counts.argmin()]
            raise SystemExit(f"fold {k}: no image of {name} in the others, so it has no prior.")
        logits[fold == k] -= strength * np.log(counts / counts.sum())
    return table.with_logits(logits)


def stacked(tables: list[Predictions]) -> Predictions:
    """Logistic regression on the log-probabilities of several systems, fold by fold."""
    first = tables[0]
    x = np.concatenate(list(log_softmax(_logits(tables), axis=2)), axis=1)
    fold, logits = first.frame["fold"].to_numpy(), np.empty_like(first.logits, dtype=np.float64)
    groups, classes = first.frame["group"].to_numpy(str), len(first.class_names)
    for k in np.unique(fold):
        rest = fold != k
        probe = fit_probe(x[rest], first.labels[rest], groups[rest], classes)
        logits[fold == k] = probe.logits(x[fold == k])
    return first.with_logits(logits)


def averaged(tables: list[Predictions]) -> Predictions:
    """The mean of the probabilities of several systems, as log-probabilities."""
    return tables[0].with_logits(mixed(_logits(tables), np.ones(len(tables))))


def pooled(tables: list[Predictions]) -> Predictions:
    """The weighted geometric mean of several systems, its weights fitted on the other folds."""
    found, _ = cross_fitted(_aligned(tables), "weights", average="log", metric="nll")
    return tables[0].with_logits(found)


def _logits(tables: list[Predictions]) -> np.ndarray:
    """Of all systems on the images of the first, (M, N, C)."""
    return np.stack([each.logits for each in _aligned(tables)])


def _aligned(tables: list[Predictions]) -> list[Predictions]:
    """All with the rows and the classes of the first."""
    return [tables[0], *(paired(tables[0], each)[1] for each in tables[1:])]


ADDED = {
    "lesion": (with_lesion, "with one answer a lesion"),
    "half_prior": (partial(without_prior, strength=0.5), "less half the log prior"),
    "prior": (partial(without_prior, strength=1), "less the log prior"),
}
JOINED = {
    "stack": (stacked, "logistic regression on the answers"),
    "mean": (averaged, "mean of the probabilities"),
    "pool": (pooled, "weighted geometric mean of the probabilities"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("systems", nargs="+")
    parser.add_argument("--dataset", default="ham10000")
    parser.add_argument("--only", choices=("metadata", *ADDED, *JOINED))
    parser.add_argument("--system", help="of what --only adds; the parts' names else")
    parser.add_argument("--base", help="what differences are to; the last system else")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if asked.system and not asked.only:
        parser.error("--system names one system: say which with --only.")
    if asked.only in JOINED and len(asked.systems) < 2:
        parser.error(f"--only {asked.only}: name two systems or more.")
    if asked.only == "metadata" and asked.dataset != "ham10000":
        parser.error("--only metadata: HAM10000 alone has age, sex and site.")
    if asked.system in asked.systems:
        parser.error(f"--system {asked.system}: it would replace one of its own parts.")
    known = {each.system: each for each in systems(asked.dataset, asked.results)}
    absent = [name for name in [*asked.systems, asked.base] if name and name not in known]
    if absent:
        raise SystemExit(f"{absent[0]}: no such system; there are {', '.join(known)}")
    chosen = [known[name] for name in asked.systems]
    tables = [read_predictions(each.table(asked.results)) for each in chosen]
    command = f"python benchmarks/late.py DATA {' '.join(asked.systems)}"
    if asked.dataset != "ham10000":
        command += f" --dataset {asked.dataset}"
    named = "".join(
        f" --{option} {name}"
        for option, name in (("system", asked.system), ("base", asked.base))
        if name
    )
    last = chosen[-1]

    def added(kind: str, about: str) -> System:
        return System(
            asked.dataset, asked.system or f"{last.system}_{kind}", f"{last.system} {about}",
            asked.base or last.system, last.networks, last.more_parameters,
            command=f"{command} --only {kind}{named}",
        )  # fmt: skip

    if asked.only in (None, "metadata") and asked.dataset == "ham10000":
        frame = ham10000.catalog(str(asked.data / "ham10000")).frame
        system = added("metadata", "with age, sex and site")
        alone = replace(
            system, system=f"{last.system}_rescaled",
            about=f"{last.system} with a scale and class offsets",
        )  # fmt: skip
        register(alone, with_metadata(tables[-1], frame, ()), asked.results)
        system = replace(system, base=asked.base or alone.system)
        register(system, with_metadata(tables[-1], frame), asked.results)
    if asked.only in ADDED:
        change, about = ADDED[asked.only]
        register(added(asked.only, about), change(tables[-1]), asked.results)
    for kind, (join, about) in JOINED.items():
        wanted = kind == asked.only if asked.only else kind != "pool"
        if not wanted or len(chosen) < 2:
            continue
        system = System(
            asked.dataset, asked.system or f"{kind}_" + "_".join(asked.systems),
            f"{about} of {', '.join(asked.systems)}", asked.base or last.system,
            " ".join(each.networks for each in chosen),
            sum(each.more_parameters for each in chosen),
            command=f"{command} --only {kind}{named}",
        )  # fmt: skip
        register(system, join(tables), asked.results)


if __name__ == "__main__":
    main()
