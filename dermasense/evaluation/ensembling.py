"""Several models' answers as one: averages, fitted weights, greedy selection, diversity.

Everything here is a function of logits and labels; who calls it gives validation (or out-of-fold)
rows to fit on, and other rows to judge on.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from dermasense.errors import DermaSenseError, check_choice
from dermasense.evaluation.bootstrap import group_draws
from dermasense.evaluation.metrics import MONITORS, quick
from dermasense.evaluation.predictions import Predictions

AVERAGES = ("probability", "log")
METRICS = tuple(name for name in MONITORS if name != "loss")
ROUNDS = 50
_NOTHING = 1e-4  # a fitted weight below this is none: the optimiser stops before it reaches 0


def mixed(logits: np.ndarray, weights: Sequence[float], average: str = "probability") -> np.ndarray:
    """The members' answers averaged, as normalised log-probabilities.

    Args:
        logits: (M, N, C) of M members.
        weights: (M,), >= 0 with a sum above 0; they are divided by it.
        average: "probability", log sum_m w_m p_m (linear opinion pool), or "log", the normalised
            sum_m w_m log p_m, in which one member that is sure a class is absent can veto it.

    Returns:
        (N, C) float64.

    Raises:
        DermaSenseError: an unknown average, or weights that are none.
    """
    check_choice("average", average, AVERAGES)
    shares = np.asarray(weights, dtype=np.float64)
    good = shares.shape == (len(logits),) and np.isfinite(shares).all() and (shares >= 0).all()
    if not good or shares.sum() <= 0:
        raise DermaSenseError(
            f"weights {list(weights)}: give each of {len(logits)} members one >= 0"
        )
    shares = shares / shares.sum()
    logp = log_softmax(np.asarray(logits, dtype=np.float64), axis=2)
    if average == "log":
        return log_softmax(np.tensordot(shares, logp, axes=1), axis=1)
    used = shares > 0
    return logsumexp(logp[used], axis=0, b=shares[used][:, None, None])


def equal_weights(logits: np.ndarray, labels: np.ndarray, **_: object) -> np.ndarray:
    """1/M each: nothing is fitted."""
    return np.full(len(logits), 1 / len(logits))


def fitted_weights(
    logits: np.ndarray, labels: np.ndarray, *, average: str = "probability", **_: object
) -> np.ndarray:
    """Weights on the simplex of least negative log-likelihood, which is convex in them.

    Args:
        logits: (M, N, C), of validation rows.
        labels: (N,) class indices.
        average: as :func:`mixed`.

    Returns:
        (M,), >= 0, sum 1.

    Raises:
        DermaSenseError: no rows, or the optimiser finds no weights.
    """
    logp = log_softmax(np.asarray(logits, dtype=np.float64), axis=2)
    if not len(labels):
        raise DermaSenseError("method=weights has no images to fit on; take method=mean.")
    rows = np.arange(len(labels))
    true = logp[:, rows, labels]  # (M, N)

    def of_probability(w: np.ndarray) -> tuple[float, np.ndarray]:
        total = logsumexp(true, axis=0, b=np.maximum(w, 1e-12)[:, None])
        return -total.mean(), -np.exp(true - total).mean(axis=1)

    def of_log(w: np.ndarray) -> tuple[float, np.ndarray]:
        pooled = np.tensordot(w, logp, axes=1)
        loss = (logsumexp(pooled, axis=1) - pooled[rows, labels]).mean()
        answer = softmax(pooled, axis=1)
        return loss, np.einsum("nc,mnc->m", answer, logp) / len(rows) - true.mean(axis=1)

    found = minimize(
        of_log if average == "log" else of_probability,
        equal_weights(logits, labels),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * len(logits),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 500, "ftol": 1e-10},
    )
    if not (found.success and np.isfinite(found.x).all() and np.isfinite(found.fun)):
        raise DermaSenseError(
            f"method=weights finds no weights on these {len(labels)} images ({found.message}); "
            "take method=mean or method=greedy."
        )
    weights = np.where(found.x > _NOTHING, found.x, 0.0)
    return weights / weights.sum()


def greedy_weights(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    average: str = "probability",
    metric: str = "balanced_accuracy",
    rounds: int = ROUNDS,
) -> np.ndarray:
    """Forward selection with replacement (Caruana et al. 2004, section 2): counts over their sum.

    Each round adds the member whose vote makes the ensemble best; of all rounds the best one is
    kept, the first of equals. The first round picks the best single member.

    Args:
        logits: (M, N, C), of validation rows.
        labels: (N,) class indices.
        average: as :func:`mixed`.
        metric: of `METRICS`.
        rounds: how many to try.

    Returns:
        (M,), >= 0, sum 1.
    """
    score = scorer(metric)
    counts = np.zeros(len(logits))
    best, kept = -np.inf, counts
    for _ in range(rounds):
        found = [
            score(mixed(logits, counts + step, average), labels) for step in np.eye(len(logits))
        ]
        counts = counts + np.eye(len(logits))[int(np.argmax(found))]
        if max(found) > best + 1e-12:
            best, kept = max(found), counts
    return kept / kept.sum()


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "mean": equal_weights,
    "weights": fitted_weights,
    "greedy": greedy_weights,
}


def scorer(metric: str) -> Callable[[np.ndarray, np.ndarray], float]:
    """A function of logits (N, C) and labels (N,) that is larger where they are better.

    Raises:
        DermaSenseError: an unknown metric.
    """
    check_choice("metric", metric, METRICS)
    sign = -1.0 if MONITORS[metric] == "min" else 1.0
    return lambda logits, labels: sign * quick(logits, labels, logits.shape[1])[metric]


def stacked(tables: Sequence[Predictions]) -> np.ndarray:
    """(M, N, C) of aligned tables."""
    return np.stack([table.logits.astype(np.float64) for table in tables])


def cross_fitted(
    tables: Sequence[Predictions], method: str, *, average: str, metric: str
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Out-of-fold tables mixed by weights that were fitted on the other folds.

    Args:
        tables: aligned, with a column `fold`.
        method: of `METHODS`.
        average, metric: as there.

    Returns:
        (N, C) log-probabilities, and the weights that each fold was judged with.

    Raises:
        DermaSenseError: fewer than two folds.
    """
    logits, labels = stacked(tables), tables[0].labels
    folds = tables[0].frame["fold"].to_numpy()
    names = sorted(set(folds))
    if len(names) < 2:
        raise DermaSenseError(
            f"method={method} judges a fold by weights of the others, and the column fold holds "
            f"{len(names)}; take method=mean, or tables of two folds or more."
        )
    out, weights = np.empty(logits.shape[1:]), {}
    for fold in names:
        inside = folds == fold
        fit = METHODS[method](logits[:, ~inside], labels[~inside], average=average, metric=metric)
        out[inside] = mixed(logits[:, inside], fit, average)
        weights[int(fold)] = fit
    return out, weights


def diversity(
    tables: Sequence[tuple[str, Predictions]], *, resamples: int = 1000, seed: int = 0
) -> list[dict]:
    """How differently each pair answers (Kuncheva & Whitaker 2003, section 2).

    Args:
        tables: names and aligned tables.
        resamples, seed: of the bootstrap over groups.

    Returns:
        A row a pair: first, second, n, n_groups, `disagreement` (share of images on which the
        answers differ) and `double_fault` (share on which both are wrong), each value, low, high:
        percentile ends, None with one group.
    """
    first = tables[0][1]
    draws = group_draws(first.n_groups, range(resamples), seed)
    rows = []
    for (name, one), (other_name, other) in combinations(tables, 2):
        answers = [each.logits.argmax(axis=1) for each in (one, other)]
        wrong = [each != first.labels for each in answers]
        shares = {"disagreement": answers[0] != answers[1], "double_fault": wrong[0] & wrong[1]}
        rows.append(
            {"first": name, "second": other_name, "n": len(first), "n_groups": first.n_groups}
            | {key: _share(hits, first.groups, draws) for key, hits in shares.items()}
        )
    return rows


def _share(hits: np.ndarray, groups: np.ndarray, draws: np.ndarray) -> dict:
    by_group, sizes = np.bincount(groups, hits), np.bincount(groups)
    found = (by_group @ draws) / (sizes @ draws)
    low, high = np.quantile(found, [0.025, 0.975]) if len(sizes) > 1 else (None, None)
    ends = {"low": low, "high": high}
    return {"value": float(hits.mean())} | {
        k: v if v is None else float(v) for k, v in ends.items()
    }
