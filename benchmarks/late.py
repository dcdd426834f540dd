"""What is added to answers that stand: age, sex and site, and a stack of several systems.

    python benchmarks/late.py DATA lite0_lr_flips lite2_lr_flips [--only metadata]

Works on the out-of-fold logits of `systems.csv` (HAM10000). For each fold everything is fitted on
the images of the other folds. Metadata: the head of `dermasense.metadata_head` on the last system
named (age, sex, localization; never dx_type). Stack: logistic regression on the log-probabilities
of all systems named. The other folds' logits come from models that saw this fold's images in
training, as in any stacking on out-of-fold predictions; no label of the judged fold is fitted on.
"""

import argparse
from pathlib import Path

import numpy as np
from probe import fit_probe
from scipy.special import log_softmax
from systems import RESULTS, System, register, systems

from dermasense.data.sources import ham10000
from dermasense.evaluation.compare import paired
from dermasense.evaluation.metadata_head import MetadataHead
from dermasense.evaluation.predictions import Predictions, read_predictions

ATTRIBUTES = ("age", "sex", "localization")


def with_metadata(table: Predictions, frame) -> Predictions:
    """The table with what age, sex and site say, the head of each fold fitted on the others.

    Args:
        table: with a column `fold`.
        frame: a catalog's frame with the attributes.
    """
    about = frame.set_index("image_id").loc[table.frame["image_id"], list(ATTRIBUTES)]
    told = table.frame.assign(**{name: about[name].to_numpy() for name in ATTRIBUTES})
    table = Predictions(told, table.logits, table.class_names)
    fold, logits = told["fold"].to_numpy(), np.empty_like(table.logits, dtype=np.float64)
    for k in np.unique(fold):
        head = MetadataHead.fit(table.rows(fold != k), ATTRIBUTES)
        logits[fold == k] = head.apply(table.rows(fold == k)).logits
    return table.with_logits(logits)


def stacked(tables: list[Predictions]) -> Predictions:
    """Logistic regression on the log-probabilities of several systems, fold by fold."""
    first = tables[0]
    others = [paired(first, each)[1] for each in tables[1:]]
    x = np.concatenate([log_softmax(t.logits, axis=1) for t in (first, *others)], axis=1)
    fold, logits = first.frame["fold"].to_numpy(), np.empty_like(first.logits, dtype=np.float64)
    groups, classes = first.frame["group"].to_numpy(str), len(first.class_names)
    for k in np.unique(fold):
        rest = fold != k
        probe = fit_probe(x[rest], first.labels[rest], groups[rest], classes)
        logits[fold == k] = probe.logits(x[fold == k])
    return first.with_logits(logits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("systems", nargs="+")
    parser.add_argument("--only", choices=("metadata", "stack"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    known = {each.system: each for each in systems("ham10000", asked.results)}
    absent = [name for name in asked.systems if name not in known]
    if absent:
        raise SystemExit(f"{absent[0]}: no such system; there are {', '.join(known)}")
    chosen = [known[name] for name in asked.systems]
    tables = [read_predictions(each.table(asked.results)) for each in chosen]
    command = f"python benchmarks/late.py DATA {' '.join(asked.systems)}"
    last = chosen[-1]
    if asked.only != "stack":
        frame = ham10000.catalog(str(asked.data / "ham10000")).frame
        system = System(
            "ham10000", f"{last.system}_metadata", f"{last.system} with age, sex and site",
            last.system, last.networks, last.more_parameters, command=f"{command} --only metadata",
        )  # fmt: skip
        register(system, with_metadata(tables[-1], frame), asked.results)
    if asked.only != "metadata" and len(chosen) > 1:
        system = System(
            "ham10000", "stack_" + "_".join(asked.systems),
            f"logistic regression on the answers of {', '.join(asked.systems)}", last.system,
            " ".join(each.networks for each in chosen),
            sum(each.more_parameters for each in chosen), command=f"{command} --only stack",
        )  # fmt: skip
        register(system, stacked(tables), asked.results)


if __name__ == "__main__":
    main()
