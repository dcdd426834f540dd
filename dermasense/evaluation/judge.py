"""All that is said about a predictions table, as metrics.json holds it.

Each metric is `{value, low, high, n, n_groups}`: ends None where no interval can be given, value
None where the metric is not defined (a class without images has no recall), never a silent 0.
"""

from collections.abc import Sequence
from itertools import combinations

from dermasense.errors import DermaSenseError
from dermasense.evaluation.baselines import baselines
from dermasense.evaluation.bootstrap import Interval, intervals
from dermasense.evaluation.calibration.scores import calibration_scores, ece_by_chance
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.compare import delong, differences, holm, mcnemar
from dermasense.evaluation.coverage import coverage
from dermasense.evaluation.decisions.summary import decisions_summary
from dermasense.evaluation.fairness.audit import by_attribute
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions

LEVEL = 0.95
RESAMPLES = 2000
# Whole-table metrics in the order of metrics.json; the malignant ones follow where they exist.
WHOLE = (
    "top1 top2 balanced_accuracy macro_f1 micro_f1 weighted_f1 kappa mcc auroc_macro "
    "average_precision_macro nll brier ece ece_equal_mass"
).split()
PER_CLASS = ("precision", "recall", "f1", "auroc", "average_precision")
# What two models are told apart by, and what is shown of each fold: more metrics would be more
# chances for a false difference, and to pick what flatters.
COMPARED = ("top1", "top2", "balanced_accuracy", "macro_f1", "auroc_macro", "nll", "ece")


def judge(
    predictions: Predictions,
    *,
    protocol: str,
    note: str = "",
    counts: Sequence[int] | None = None,
    validation: Predictions | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:
    """Metrics of one table with 95 % intervals over groups.

    Args:
        predictions: the table.
        protocol: how the split was made, in words; see :func:`summarise`.
        note: what must be said wherever the numbers are shown.
        counts: training images a class, for the baselines; see :func:`baselines`.
        validation: a table to fit a temperature on; then nll, brier and ece after it stand under
            `after_temperature`, and sets, alarm and referral under `decisions`.
        resamples, seed: of the bootstrap.

    Returns:
        protocol, note, n, n_groups, the metrics, ece_by_chance (of a model whose confidences are
        true, on so many images), per_class, confusion_matrix (true class by row),
        class_names, baselines, baselines_from (whose shares of classes they are), coverage,
        by_attribute, intervals (how they were made), after_temperature, decisions.

    Raises:
        DermaSenseError: groups stand in several folds and the protocol does not say leaky.
    """
    summary = summarise(predictions, split_protocol=protocol)
    found = intervals(predictions, resamples=resamples, level=LEVEL, seed=seed)
    nothing = Interval(None, None, None, summary["n"], summary["n_groups"])
    names = [*WHOLE, *(name for name in found if name.startswith("malignant"))]
    result = {
        "protocol": protocol,
        "note": note,
        "n": summary["n"],
        "n_groups": summary["n_groups"],
        **{name: found.get(name, nothing).as_dict() for name in names},
        "ece_by_chance": ece_by_chance(predictions, seed=seed).as_dict(),
        "per_class": {
            name: _of_class(name, found, summary["per_class"][name]["n"])
            for name in predictions.class_names
        },
        "confusion_matrix": summary["confusion_matrix"],
        "class_names": summary["class_names"],
        "baselines": _baselines(predictions, counts),
        "baselines_from": "judged images" if counts is None else "training images",
        "coverage": coverage(predictions, resamples=min(resamples, 300), seed=seed).as_dict(),
        "by_attribute": by_attribute(predictions, resamples=min(resamples, 1000), seed=seed),
        "intervals": {
            "level": LEVEL,
            "method": "bootstrap over groups, BCa; AUROC by Student's t on the logit scale",
            "resamples": resamples,
            "seed": seed,
        },
    }
    if validation is not None:
        result["after_temperature"] = _tempered(predictions, validation, resamples, seed)
        draws = min(resamples, 500)
        result["decisions"] = decisions_summary(predictions, validation, resamples=draws, seed=seed)
    return result


def compare(
    tables: Sequence[tuple[str, Predictions]], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[dict]:
    """Every pair of tables: second minus first, paired, corrected for the number of pairs.

    p-values are Holm's over all pairs, for McNemar's and DeLong's test each; the intervals of the
    differences have the level 1 - .05 / pairs (Bonferroni).

    Args:
        tables: names and tables, two or more.
        resamples, seed: of the bootstrap.

    Returns:
        A dict a pair: first, second, n, n_groups, level, differences {metric: interval}, mcnemar
        and delong {difference, statistic, p, p_holm}; or first, second and `not_compared`, the
        reason.

    Raises:
        DermaSenseError: the same images with another label or group in two tables.
    """
    pairs = list(combinations(tables, 2))
    level = 1 - (1 - LEVEL) / len(pairs)
    rows = [_compare_two(one, other, level, resamples, seed) for one, other in pairs]
    for test in ("mcnemar", "delong"):
        tested = [row[test] for row in rows if row.get(test)]
        known = [each for each in tested if each["p"] is not None]
        for each, p in zip(known, holm([each["p"] for each in known]), strict=True):
            each["p_holm"] = p
    return rows


def _compare_two(
    one: tuple[str, Predictions],
    other: tuple[str, Predictions],
    level: float,
    resamples: int,
    seed: int,
) -> dict:
    (name, first), (other_name, second) = one, other
    row = {"first": name, "second": other_name}
    reason = _not_comparable(first, second)
    if reason:
        return {**row, "not_compared": reason}
    found = differences(first, second, resamples=resamples, level=level, seed=seed)
    row |= {"n": len(first), "n_groups": first.n_groups, "level": round(level, 5)}
    row["differences"] = {key: found[key].as_dict() for key in COMPARED if key in found}
    row["mcnemar"] = {**mcnemar(first, second).as_dict(), "p_holm": None}
    row["delong"] = None
    if any(key.startswith("malignant") and each.value is not None for key, each in found.items()):
        row["delong"] = {**delong(first, second).as_dict(), "p_holm": None}
        row["delong"]["of"] = "malignant against benign"
    return row


def _not_comparable(first: Predictions, second: Predictions) -> str:
    if sorted(first.class_names) != sorted(second.class_names):
        return "the tables have different classes"
    images = [set(each.frame["image_id"].astype(str)) for each in (first, second)]
    both = len(images[0] & images[1])
    if images[0] != images[1]:
        return (
            f"the tables hold different images ({len(images[0])} and {len(images[1])}, {both} in "
            "both): a paired comparison needs the same ones"
        )
    return ""


def _of_class(name: str, found: dict[str, Interval], n: int) -> dict:
    return {"n": n, **{kind: found[f"{kind}/{name}"].as_dict() for kind in PER_CLASS}}


def _baselines(predictions: Predictions, counts: Sequence[int] | None) -> dict[str, dict]:
    try:
        rows = baselines(predictions.labels, predictions.class_names, counts)
    except DermaSenseError:  # one class: nothing to tell apart, and nothing to stand beside it
        return {}
    return {
        name: {k: v for k, v in row.items() if not isinstance(v, list | dict)}
        for name, row in rows.items()
    }


def _tempered(table: Predictions, validation: Predictions, resamples: int, seed: int) -> dict:
    fitted = Temperature().fit(validation.in_order(table.class_names))
    found = calibration_scores(fitted.apply(table), resamples=resamples, seed=seed)
    scores = {name: each.as_dict() for name, each in found.items()}
    return {"temperature": fitted.value, "at_bound": fitted.at_bound, **scores}
