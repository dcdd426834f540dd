"""Calibration and decisions of real models: benchmarks/results/{calibration,decisions}.csv.

    python benchmarks/decisions.py                            # again, from the committed tables
    python benchmarks/decisions.py --collect NAME=RUN [...]   # puts a run's tables among them first

The tables in benchmarks/results/pairs are a run's validation and test predictions (logits as
float16). Everything is fitted on validation, and each number has its n and a 95 % interval over
lesions. Sets, alarm, referral and cost stand on the temperature.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dermasense.evaluation.by_lesion import CHOICES, gain
from dermasense.evaluation.calibration import CALIBRATORS, build_calibrator
from dermasense.evaluation.calibration.effect import SCORES, effect
from dermasense.evaluation.decisions.aps import Aps
from dermasense.evaluation.decisions.class_conditional import ClassConditional
from dermasense.evaluation.decisions.cost import Cost
from dermasense.evaluation.decisions.group_conditional import GroupConditional
from dermasense.evaluation.decisions.lac import Lac
from dermasense.evaluation.decisions.raps import Raps
from dermasense.evaluation.decisions.referral import Referral
from dermasense.evaluation.decisions.risk_control import RiskControl
from dermasense.evaluation.pair import Pair, read_pair
from dermasense.evaluation.predictions import write_predictions
from dermasense.files import write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parent / "results"
PAIRS = RESULTS / "pairs"
DATASETS = {"b1_se_lite": "ham10000", "ham_finetune_settled": "ham10000",
            "b4_weighted_lite": "fitzpatrick21"}  # fmt: skip
MALIGNANT = {
    "ham10000": {"mel": ["mel"], "malignant": ["mel", "bcc", "akiec"]},
    "fitzpatrick21": {
        "melanoma (3 classes)": ["melanoma", "malignant-melanoma",
                                 "superficial-spreading-melanoma-ssm"],
    },
}  # fmt: skip
ENDS = ("value", "low", "high")
LAST = ["n", "n_groups", "command", "commit", "machine"]
CALIBRATION = ["dataset", "experiment", "method", "fitted", "metric", "when", *ENDS, "n_val", *LAST]
DECISIONS = ["dataset", "experiment", "decision", "options", "of", "metric", "asked", *ENDS,
             "n_val", *LAST]  # fmt: skip


def collect(name: str, run: str) -> None:
    """Copies the two tables of a run, logits as float16."""
    pair = read_pair(run)
    for part in ("validation", "test"):
        table = getattr(pair, part)
        path = PAIRS / f"{name}_{part}.parquet"
        write_predictions(path, table.frame, table.logits.astype(np.float16), table.class_names)


def calibration(pair: Pair) -> Iterator[dict]:
    """Before, after and change of every method."""
    for method in CALIBRATORS:
        fitted = build_calibrator(method).fit(pair.validation)
        found = effect(fitted, pair.test)
        value = getattr(fitted, "value", None)
        about = {"method": method, "fitted": "" if value is None else f"{value:.4f}"}
        for metric in SCORES:
            for when in ("before", "after", "change"):
                yield about | {"metric": metric, "when": when} | found[when][metric]
        for name, each in found["classes"].items():
            for when in ("before", "after"):
                metric = f"predicted minus occurring: {name}"
                yield about | {"metric": metric, "when": when} | each[when]


def decisions(pair: Pair, dataset: str) -> Iterator[dict]:
    """Sets, alarms, referral, cost, and several photographs of a lesion."""
    temperature = build_calibrator("temperature").fit(pair.validation)
    validation, test = (temperature.apply(each) for each in (pair.validation, pair.test))
    attribute = "sex" if dataset == "ham10000" else "skin_type"
    for alpha in (0.1, 0.05):
        for method in (Lac, Aps, Raps, ClassConditional, GroupConditional):
            more = {"attribute": attribute} if method is GroupConditional else {}
            fitted = method(alpha=alpha, **more).fit(validation)
            words = " ".join([f"alpha={alpha}", *(f"{k}={v}" for k, v in more.items())])
            about = {"decision": fitted.name, "options": words}
            yield from _sets(about, fitted.judge(test), alpha)
    for of, classes in MALIGNANT[dataset].items():
        for sensitivity in (0.9, 0.95):
            for bound in ("exact", "mapie"):
                method = RiskControl(classes=classes, sensitivity=sensitivity, bound=bound)
                judged = method.fit(validation).judge(test)
                words = f"sensitivity={sensitivity} delta=0.1 bound={bound}"
                about = {"decision": "risk_control", "options": words, "of": of}
                for metric in ("sensitivity", "specificity", "alarms"):
                    asked = sensitivity if metric == "sensitivity" else ""
                    yield about | {"metric": metric, "asked": asked} | judged[metric]
        if len(classes) > 1:
            yield from _cost(of, Cost(malignant=classes).fit(validation).judge(test))
    accuracy = 0.9 if dataset == "ham10000" else 0.7
    judged = Referral(accuracy=accuracy).fit(validation).judge(test)
    about = {"decision": "referral", "options": f"accuracy={accuracy}", "of": "all"}
    for metric in ("accuracy", "answered", "accuracy_of_all", "accuracy_of_referred"):
        asked = accuracy if metric == "accuracy" else ""
        yield about | {"metric": metric, "asked": asked} | judged[metric]
    area = {"value": judged["area"], "n": len(test), "n_groups": test.n_groups}
    yield about | {"metric": "area"} | area
    if dataset == "ham10000":  # the groups of fitzpatrick21 are near-duplicates, no lesions
        yield from _photographs(test)


def _sets(about: dict, judged: dict, alpha: float) -> Iterator[dict]:
    parts = {"all": judged, **judged["per_class"]}
    for attribute, values in judged["by_attribute"].items():
        if attribute.startswith(("skin_type", "sex")):
            parts |= {f"{attribute} {value}": each for value, each in values.items()}
    for of, each in parts.items():
        coverage = {"metric": "coverage", "asked": round(1 - alpha, 4)} | each["coverage"]
        yield about | {"of": of} | coverage
        yield about | {"of": of, "metric": "size"} | each["size"]


def _cost(of: str, judged: dict) -> Iterator[dict]:
    about = {"decision": "cost", "options": "missed=10 mistake=1", "of": of}
    for metric, each in judged.items():
        yield about | {"metric": metric} | each


def _photographs(test) -> Iterator[dict]:
    for which in CHOICES:
        found = gain(test, which)
        about = {"decision": "by_lesion", "options": f"all photographs minus {which}"}
        about["of"] = f"{found['n_lesions']} of {found['all_lesions']} lesions"
        for metric in ("top1", "balanced_accuracy", "macro_f1", "nll"):
            each = found["differences"][metric].as_dict()
            yield about | {"metric": metric} | each | {"n": found["n_images"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collect", nargs="+", default=[], metavar="NAME=RUN")
    for word in parser.parse_args().collect:
        collect(*word.split("=", 1))
    last = {"command": "python benchmarks/decisions.py", "commit": commit(), "machine": machine()}
    rows: dict[str, list[dict]] = {"calibration": [], "decisions": []}
    for name, dataset in DATASETS.items():
        places = {part: str(PAIRS / f"{name}_{file}.parquet")
                  for part, file in (("val", "validation"), ("test", "test"))}  # fmt: skip
        pair = read_pair(**places)
        about = {"dataset": dataset, "experiment": name, "n_val": len(pair.validation)} | last
        rows["calibration"] += [_plain(about | row) for row in calibration(pair)]
        rows["decisions"] += [_plain(about | row) for row in decisions(pair, dataset)]
        print(name, flush=True)
    write_csv(RESULTS / "calibration.csv", rows["calibration"], CALIBRATION)
    write_csv(RESULTS / "decisions.csv", rows["decisions"], DECISIONS)


def _plain(row: dict) -> dict:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}


if __name__ == "__main__":
    main()
