"""From aligned members to an ensemble's files: tables, metrics.json, report.html."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermasense.errors import DermaSenseError
from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.ensembling import (
    METHODS,
    cross_fitted,
    diversity,
    mixed,
    scorer,
    stacked,
)
from dermasense.evaluation.judge import COMPARED, RESAMPLES, compare, judge
from dermasense.evaluation.metrics import quick
from dermasense.evaluation.predictions import Predictions, write_predictions
from dermasense.files import write_json
from dermasense.reporting.parts.ensemble import ensemble as ensemble_part
from dermasense.reporting.report import write_report
from dermasense.reporting.subject import Origin, Subject
from dermasense.run_folder import RunFolder

NAME = "ensemble"


@dataclass(frozen=True)
class Weighed:
    """Weights of the members, and how they came about.

    Attributes:
        weights: (M,), sum 1.
        candidates: way -> what it does on the rows it was fitted on; {} without such rows.
        how: in words.
        best: number of the best single member on the rows to fit on; None without such rows.
    """

    weights: np.ndarray
    candidates: dict[str, dict]
    how: str
    best: int | None


def weigh(
    fit: Sequence[Predictions],
    members: int,
    method: str,
    average: str,
    metric: str,
    *,
    folded: bool = False,
) -> Weighed:
    """Weights by `method`, and beside it what the other ways do.

    Args:
        fit: aligned validation or out-of-fold tables; () for none.
        members: how many.
        method: of `METHODS`.
        average, metric: see `dermasense.evaluation.ensembling`.
        folded: `fit` are out-of-fold tables, which are judged too.

    Raises:
        DermaSenseError: a way that needs rows to fit on, and there are none.
    """
    score = scorer(metric)
    if not fit:
        if method != "mean":
            raise DermaSenseError(
                f"method={method} fits weights, and the members have no validation images in "
                "common; take method=mean, or give val= tables."
            )
        return Weighed(np.full(members, 1 / members), {}, "equal; nothing was fitted", None)
    logits, labels = stacked(fit), fit[0].labels
    candidates, weights = {}, {}
    for name, find in METHODS.items():
        weights[name] = find(logits, labels, average=average, metric=metric)
        values = quick(mixed(logits, weights[name], average), labels, logits.shape[2])
        candidates[name] = {"n": len(labels), "weights": weights[name].tolist(), **values}
    on = f"{len(labels):,} {'out-of-fold' if folded else 'validation'} images"
    how = {
        "mean": "equal; nothing was fitted",
        "weights": f"least negative log-likelihood on {on}",
        "greedy": f"greedy selection by {metric} on {on}",
    }[method]
    best = int(np.argmax([score(each, labels) for each in logits]))
    return Weighed(weights[method], candidates, how, best)


def report_ensemble(
    out: Path,
    names: Sequence[str],
    fit: Sequence[Predictions],
    judged: Sequence[Predictions],
    weighed: Weighed,
    *,
    method: str,
    average: str,
    metric: str,
    protocol: str,
    note: str = "",
    folded: bool = False,
    origin: Origin | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:
    """Judge the ensemble beside its members and write predictions, metrics.json and report.html.

    Args:
        out: where they go.
        names, fit, judged: the members, aligned.
        weighed: of :func:`weigh`.
        folded: fit on other folds than judged; then `fit` and `judged` are the same tables.
        others: as their names say.

    Returns:
        What metrics.json holds: metrics as `judge` gives them, `ensemble`, `gain`.
    """
    validation = None
    by_fold: dict[int, list[float]] = {}
    if folded and method != "mean":
        logits, found = cross_fitted(judged, method, average=average, metric=metric)
        by_fold = {fold: each.tolist() for fold, each in found.items()}
    else:
        logits = mixed(stacked(judged), weighed.weights, average)
    table = judged[0].with_logits(logits)
    _write(RunFolder(out).predictions("oof" if folded else "test"), table)
    if fit and not folded:
        validation = fit[0].with_logits(mixed(stacked(fit), weighed.weights, average))
        _write(RunFolder(out).predictions("val"), validation)
    options = {"resamples": resamples, "seed": seed}
    metrics = judge(table, protocol=protocol, note=note, validation=validation, **options)
    # Without validation rows no member may be called best: the first is what it is compared with.
    best = weighed.best if weighed.best is not None else 0
    facts = {
        "method": method,
        "average": average,
        "metric": metric,
        "how": weighed.how,
        "folded": folded,
        "best_member": names[best] if weighed.best is not None else None,
        "members": _members(names, judged, weighed.weights, options),
        "weights_by_fold": by_fold,
        "candidates": weighed.candidates,
        "diversity": diversity(list(zip(names, judged, strict=True)), seed=seed),
    }
    gain = compare([(names[best], judged[best]), (NAME, table)], **options)
    metrics |= {"ensemble": facts, "gain": gain}
    write_json(out / "metrics.json", metrics)
    subject = Subject(NAME, table, metrics, origin, {}, "an ensemble's report has none")
    part = ensemble_part(facts, metrics, gain)
    write_report(out / "report.html", [subject], (), out / "figures", extra=[part])
    return metrics


def _members(
    names: Sequence[str],
    judged: Sequence[Predictions],
    weights: np.ndarray,
    options: Mapping[str, int],
) -> list[dict]:
    rows = []
    for name, each, weight in zip(names, judged, weights, strict=True):
        found = intervals(each, **options)
        scores = {key: found[key].as_dict() for key in COMPARED if key in found}
        rows.append({"name": name, "weight": float(weight), "judged": scores})
    return rows


def _write(path: Path, table: Predictions) -> None:
    write_predictions(path, table.frame, table.logits, table.class_names)
