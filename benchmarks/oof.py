"""Out-of-fold results of all systems: benchmarks/results/ham10000_oof.csv, fitzpatrick21_oof.csv.

    python benchmarks/oof.py [ham10000 fitzpatrick21] [--resamples 1000] [--gains]

Needs the committed tables alone (`systems.csv`, `predictions/`, `network_costs.csv`), so anyone
can compute every figure again. Intervals are by bootstrap over groups (lesions); differences are
to the system in the column `base`, paired on the images that both have answered. A row whose
tables have not changed since it was written is kept; with --gains, all of it but its differences,
for when their rule has changed. `folds` says how many of the five stand.
The pages that show the tables are written by `leaderboard_page.py` and `originals_page.py`.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from network_costs import RESULTS as COSTS
from network_costs import costs
from systems import RESULTS, System, systems

from dermasense.errors import DermaSenseError
from dermasense.evaluation.baselines import baselines
from dermasense.evaluation.bootstrap import Interval, intervals
from dermasense.evaluation.calibration.scores import calibration_scores
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.compare import differences
from dermasense.evaluation.predictions import Predictions, groups_across_folds, read_predictions
from dermasense.files import read_csv, write_csv

DATASETS = ("ham10000", "fitzpatrick21")
SCORES = (
    "top1 top2 balanced_accuracy macro_f1 micro_f1 weighted_f1 kappa auroc_macro nll ece".split()
)
AFTER = ("nll", "ece", "ece_by_chance")
GAINS = ("top1", "balanced_accuracy", "macro_f1", "nll")
COLUMNS = [
    *"dataset system about n n_groups folds".split(),
    *(f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")),
    *(f"tempered_{name}{end}" for name in AFTER for end in ("", "_low", "_high")),
    *"temperature temperature_from base base_n".split(),
    *(f"{name}_gain{end}" for name in GAINS for end in ("", "_low", "_high")),
    *"networks parameters gflops milliseconds command commit machine resamples table key".split(),
]


def rows(
    dataset: str, resamples: int, results: Path = RESULTS, *, gains: bool = False
) -> list[dict]:
    """The rows of a data set: answers that look at no picture, then every system.

    Args:
        dataset: one of `DATASETS`.
        resamples: bootstrap draws.
        results: folder of the tables.
        gains: whether the differences of rows that are kept are computed again.
    """
    found = systems(dataset, results)
    if not found:
        raise SystemExit(f"{results / 'systems.csv'}: no system of {dataset} stands there.")
    by_name = {each.system: each for each in found}
    standing = _standing(results / f"{dataset}_oof.csv")
    made = blind_rows(max((_read(each, results) for each in found), key=len), dataset, resamples)
    for each in found:
        key = _key(each, by_name, resamples, results)
        if key not in standing:
            print(f"{dataset}: judging {each.system}", flush=True)
        kept = standing.get(key)
        if kept and gains and each.base:
            print(f"{dataset}: {each.system} less {each.base}", flush=True)
            base = _read(by_name[each.base], results)
            kept |= _gains(base, _read(each, results), resamples)
        made.append(kept or row(each, by_name, resamples, results))
    return made


def row(system: System, by_name: dict[str, System], resamples: int, results: Path) -> dict:
    """All figures of one system."""
    table = _read(system, results)
    values = figures(table, resamples)
    values |= _after_temperature(system, table, resamples, results)
    if system.base:
        values |= _gains(_read(by_name[system.base], results), table, resamples)
    about = {name: getattr(system, name) for name in ("dataset", "system", "about", "base")}
    about |= {name: getattr(system, name) for name in ("networks", "command", "commit", "machine")}
    return {
        **about,
        **values,
        **cost_of(system, results / COSTS.name),
        "resamples": resamples,
        "table": str(system.table(results).relative_to(results)),
        "key": _key(system, by_name, resamples, results),
    }


def figures(table: Predictions, resamples: int) -> dict:
    """n, n_groups, folds, and each score with its interval."""
    found = intervals(table, resamples=resamples)
    folds = table.frame["fold"].nunique()
    values = {"n": len(table), "n_groups": table.n_groups, "folds": folds}
    return values | {k: v for name in SCORES for k, v in _ends(name, found[name]).items()}


def tempered(
    table: Predictions, validations: dict[int, Predictions] | None = None
) -> tuple[Predictions, float] | None:
    """Each fold after its own temperature, and their mean.

    Args:
        table: with a column `fold`.
        validations: by fold, what its temperature is fitted on; None takes the other folds.

    Returns:
        None where there is no other fold to fit on.
    """
    fold = table.frame["fold"].to_numpy()
    names = sorted(set(fold.tolist()))
    if validations is None and len(names) < 2:
        return None
    logits, values = table.logits.astype(np.float64), []
    for name in names:
        fitted_on = validations[name] if validations else table.rows(fold != name)
        temperature = Temperature().fit(fitted_on.in_order(table.class_names))
        logits[fold == name] /= temperature.value
        values.append(temperature.value)
    return table.with_logits(logits), float(np.mean(values))


def cost_of(system: System, path: Path = COSTS) -> dict:
    """Parameters, GFLOPs and milliseconds an image, of all networks and views that it runs."""
    if not system.networks:
        return {"parameters": "", "gflops": "", "milliseconds": ""}
    known = costs(path)
    total = {"parameters": float(system.more_parameters), "gflops": 0.0, "milliseconds": 0.0}
    for word in system.networks.split():
        network, _, views = word.partition("x")
        if network not in known:
            raise SystemExit(f"{path}: no row of {network}; run network_costs.py {network}")
        total["parameters"] += known[network]["parameters"]
        for name in ("gflops", "milliseconds"):
            total[name] += int(views or 1) * known[network][name]
    return {
        "parameters": int(total["parameters"]),
        "gflops": round(total["gflops"], 3),
        "milliseconds": round(total["milliseconds"], 1),
    }


def blind_rows(table: Predictions, dataset: str, resamples: int) -> list[dict]:
    """The commonest class always, and a guess drawn from the class shares (expected values)."""
    found = baselines(table.labels, table.class_names)
    counts = np.bincount(table.labels, minlength=len(table.class_names))
    constant = table.with_logits(np.tile(np.log(counts / counts.sum()), (len(table), 1)))
    always, chance = found
    about = {"dataset": dataset, "base": "", "temperature_from": ""}
    command = {"command": f"python benchmarks/oof.py {dataset}", "resamples": resamples}
    chances = {name: _rounded(found[chance].get(name)) for name in SCORES}
    return [
        {
            **about,
            "system": "always_commonest",
            "about": f"{always}; no picture is looked at",
            **figures(constant, resamples),
            **command,
        },
        {
            **about,
            "system": "stratified_chance",
            "about": "a guess drawn from the class shares; expected values",
            **{"n": len(table), "n_groups": table.n_groups, **chances},
            "folds": table.frame["fold"].nunique(),
            **command,
        },
    ]


def _read(system: System, results: Path) -> Predictions:
    path = system.table(results)
    table = read_predictions(path)
    crossing = groups_across_folds(table.frame)
    if crossing:
        raise DermaSenseError(f"{path}: group {crossing[0]} stands in two folds.")
    return table


def _after_temperature(system: System, table: Predictions, resamples: int, results: Path) -> dict:
    validations = None
    if system.validation:
        folds = sorted(set(table.frame["fold"].tolist()))
        validations = {k: read_predictions(system.validation_table(k, results)) for k in folds}
    after = tempered(table, validations)
    if after is None:
        return {"temperature_from": ""}
    found = calibration_scores(after[0], resamples=resamples)
    values = {k: v for name in AFTER for k, v in _ends(f"tempered_{name}", found[name]).items()}
    where = "validation of each fold" if validations else "the other folds"
    return {**values, "temperature": round(after[1], 4), "temperature_from": where}


def _gains(base: Predictions, table: Predictions, resamples: int) -> dict:
    """Differences on the images that both have answered."""
    base, table = (
        each.rows(np.isin(each.frame["image_id"], other.frame["image_id"]))
        for each, other in ((base, table), (table, base))
    )
    found = differences(base, table, resamples=resamples, ranking=False)
    gains = {k: v for name in GAINS for k, v in _ends(f"{name}_gain", found[name]).items()}
    return {**gains, "base_n": len(base)}


def _key(system: System, by_name: dict[str, System], resamples: int, results: Path) -> str:
    """Changes with the tables, the costs and what is said of the system."""
    if system.base and system.base not in by_name:
        raise SystemExit(f"systems.csv: {system.system} builds on {system.base}, which is absent.")
    tables = [system.table(results)]
    tables += [by_name[system.base].table(results)] if system.base else []
    if system.validation:
        tables += sorted(tables[0].parent.glob(f"{system.validation.format(fold='*')}.parquet"))
    digest = hashlib.blake2b(digest_size=6)
    for path in tables:
        digest.update(path.read_bytes())
    facts = [COLUMNS, system, resamples, cost_of(system, results / COSTS.name)]
    digest.update(repr(facts).encode())
    return digest.hexdigest()


def _standing(path: Path) -> dict[str, dict]:
    return {row["key"]: row for row in read_csv(path, missing_ok=True) if row["key"]}


def _ends(name: str, found: Interval) -> dict:
    ends = (("", found.value), ("_low", found.low), ("_high", found.high))
    return {f"{name}{end}": _rounded(value) for end, value in ends}


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(float(value), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="*", help=" or ".join(DATASETS))
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--gains", action="store_true", help="all differences anew")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    unknown = set(asked.datasets) - set(DATASETS)
    if unknown:  # not by choices=, which refuses no words at all before Python 3.12
        parser.error(f"{min(unknown)}: expected {' or '.join(DATASETS)}")
    for dataset in asked.datasets or DATASETS:
        path = asked.results / f"{dataset}_oof.csv"
        made = rows(dataset, asked.resamples, asked.results, gains=asked.gains)
        write_csv(path, made, COLUMNS)
        shown = pd.read_csv(path)[
            ["system", "n", "folds", "top1", "balanced_accuracy", "macro_f1", "tempered_ece"]
        ]
        print(f"{path}\n{shown.to_string(index=False)}")


if __name__ == "__main__":
    main()
