"""Do mitigations narrow the gaps between skin types? benchmarks/results/fairness.csv.

    python benchmarks/fairness.py --root data/fitzpatrick21 --runs outputs/fairness

A linear head on a frozen EfficientNet-Lite0 (160 px, two augmented views in the boundary cache),
three seeds on one grouped split of fitzpatrick21, the same settings but for one choice. Runs that
are finished are not made again. The seeds are judged together: each image stands there once a seed,
and lesions are drawn, so that the intervals are those of the mean of the seeds on these lesions.
`change` is against `none`, paired. Nothing is chosen on the test split.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from dermasense.evaluation.bootstrap import resampled
from dermasense.evaluation.compare import differences
from dermasense.evaluation.fairness.audit import by_attribute
from dermasense.evaluation.fairness.bands import tones
from dermasense.evaluation.fairness.scores import GroupScores
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.experiment import run_experiment
from dermasense.files import write_csv
from dermasense.hydra_errors import compose_or_explain
from dermasense.provenance import commit, machine
from dermasense.run_folder import RunFolder

METHODS = {
    "none": [],
    "sampler": ["balance=sampler"],
    "group_sampler": ["balance=group_sampler"],
    "group_dro": ["loss=group_dro", "loss.step=0.05"],
    "tone": ["augment=tone"],
}
SEEDS = (0, 1, 2)
SETTINGS = [
    "~experiment",
    "data=fitzpatrick21",
    "model=lite0",
    "model.image_size=160",
    "phases=frozen",
    "phases.frozen.epochs=15",
    "phases.frozen.lr=4e-3",
    "phases.frozen.patience=8",
    "batch_size=64",
    "cache=boundary",
    "cache.views=2",
    "split.seed=0",
    "monitor=macro_f1",
    "name=fairness",
    "logger=none",
    "report.images=false",
    "num_workers=0",
]
SHOWN = ("top1", "balanced_accuracy", "malignant_recall", "overconfidence")
CHANGES = ("top1", "balanced_accuracy")
ENDS = ("", "_low", "_high")
COLUMNS = [
    *("dataset", "split", "attribute", "method", "seeds", "n", "n_groups"),
    *(f"{name}{end}" for name in ("top1", "balanced_accuracy") for end in ENDS),
    *(f"{name}_change{end}" for name in CHANGES for end in ENDS),
    *("metric", "worst_group", "worst_n", "worst", "worst_low", "worst_high"),
    *("gap", "gap_low", "gap_high", "gap_level", "gap_by_chance", "pairs_that_differ"),
    *("gap_change", "gap_change_low", "gap_change_high"),
    *("command", "commit", "machine"),
]


def train(root: str, runs: Path, method: str, seed: int) -> Path:
    """The run folder of a method and seed, trained where it is not finished."""
    run = RunFolder(runs / f"{method}_{seed}")
    if not run.finished.exists():
        words = [*SETTINGS, *METHODS[method], f"seed={seed}", f"data.root={root}"]
        settings = OmegaConf.to_container(compose_or_explain("train", words), resolve=True)
        with run.held():
            if not run.config.exists():
                run.begin(settings, words)
            run_experiment(settings, run)
    return run.path


def stacked(folders: list[Path]) -> Predictions:
    """The test tables of all seeds under each other; a lesion is one group in all of them."""
    tables = [read_predictions(RunFolder(folder).predictions("test")) for folder in folders]
    names = tables[0].class_names
    frames = [
        table.frame.assign(image_id=table.frame["image_id"] + f" seed {place}")
        for place, table in enumerate(tables)
    ]
    logits = np.concatenate([table.in_order(names).logits for table in tables])
    return Predictions(pd.concat(frames, ignore_index=True), logits, names)


def rows(tables: dict[str, Predictions], resamples: int) -> list[dict]:
    """A row for each method, source of skin types and metric."""
    plain, found = tables["none"], []
    for method, table in tables.items():
        audit = by_attribute(table, resamples=resamples)
        whole = by_attribute(_as_one(table), resamples=resamples)["all"]["values"]["all"]
        change = differences(plain, table, resamples=resamples, ranking=False)
        for attribute in ("skin_type", "skin_type_centaur"):
            row = {"dataset": "fitzpatrick21", "split": "test", "attribute": attribute}
            row |= {"method": method, "seeds": len(SEEDS), "n_groups": table.n_groups}
            row["n"] = len(table) // len(SEEDS)
            for name in ("top1", "balanced_accuracy"):
                row |= _three(name, whole[name])
            for name in CHANGES if method != "none" else ():
                row |= _three(f"{name}_change", vars(change[name]))
            for metric in SHOWN:
                found.append(row | _gap(audit[attribute], metric))
                if method != "none":
                    found[-1] |= _gap_change(plain, table, attribute, metric, resamples)
    return found


def _gap(audit: dict, metric: str) -> dict:
    gap = audit["gaps"][metric]
    worst = audit["values"][gap["worse"]]
    pairs = "; ".join(f"{each['worse']} < {each['better']}" for each in gap["differences"])
    return {
        "metric": metric,
        "worst_group": gap["worse"],
        "worst_n": worst["n"] // len(SEEDS),
        **_three("worst", worst[metric]),
        **_three("gap", gap),
        "gap_level": gap["level"],
        "gap_by_chance": round(gap["by_chance"], 4),
        "pairs_that_differ": pairs,
    }


def _gap_change(
    plain: Predictions, table: Predictions, attribute: str, metric: str, resamples: int
) -> dict:
    """Largest gap with the method minus without, in the same draws of lesions."""
    gaps = []
    for each in (plain, table):
        bands = tones(each.frame[attribute])
        codes, names = pd.factorize(bands, sort=True)
        scores = GroupScores(each, codes, names)
        keys = [f"{metric}/{name}" for name in names]
        point = scores(np.ones((scores.n_groups, 1)))
        draws = resampled(scores, resamples, 0)
        spread = [np.ptp(np.stack([values[key] for key in keys]), axis=0) for values in
                  (point, draws)]  # fmt: skip
        gaps.append(spread)
    change = gaps[1][1] - gaps[0][1]
    low, high = np.nanquantile(change, [0.025, 0.975])
    value = {"value": float((gaps[1][0] - gaps[0][0])[0]), "low": low, "high": high}
    return _three("gap_change", value)


def _as_one(table: Predictions) -> Predictions:
    columns = [name for name in table.frame if name in ("image_id", "group", "label")]
    return Predictions(table.frame[columns].assign(all="all"), table.logits, table.class_names)


def _three(name: str, found: dict) -> dict:
    ends = ("value", "low", "high")
    return {
        f"{name}{end}": "" if found[key] is None else round(float(found[key]), 4)
        for end, key in zip(ENDS, ends, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of fitzpatrick21")
    parser.add_argument("--runs", type=Path, default=Path("outputs/fairness"))
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fairness.csv"))
    arguments = parser.parse_args()
    tables = {
        method: stacked([train(arguments.root, arguments.runs, method, seed) for seed in SEEDS])
        for method in METHODS
    }
    about = {"command": "python benchmarks/fairness.py --root DIR", "commit": commit()}
    about["machine"] = machine()
    found = [row | about for row in rows(tables, arguments.resamples)]
    write_csv(arguments.out, [{c: row.get(c, "") for c in COLUMNS} for row in found], COLUMNS)
    print(pd.DataFrame(found)[["attribute", "method", "metric", "worst_group", "worst", "gap"]])


if __name__ == "__main__":
    main()
