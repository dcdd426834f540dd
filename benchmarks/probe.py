"""Multinomial logistic regression on frozen vectors, its penalty chosen on training rows alone."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

# Penalties lambda of lambda / 2 |W|^2 beside the mean loss, strongest first: each fit starts from
# the one before.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
INNER = 5


@dataclass(frozen=True)
class Probe:
    """A fitted probe: logits = (x - centre) / scale @ weights + offsets.

    Attributes:
        centre, scale: of the training vectors, (D,).
        weights: (D, C).
        offsets: (C,).
        log_prior: of the training labels, (C,).
        penalty: the one that was chosen.
    """

    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    log_prior: np.ndarray
    penalty: float

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, C)."""
        return ((x - self.centre) / self.scale) @ self.weights + self.offsets

    @property
    def parameters(self) -> int:
        """Weights and offsets."""
        return self.weights.size + self.offsets.size


def fit_probe(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    classes: int,
    *,
    balanced: bool = False,
    penalties: tuple[float, ...] = PENALTIES,
) -> Probe:
    """The probe of a training part.

    The penalty is the one of least loss on a fifth of the groups, which the fit has not seen; the
    probe is then fitted on all rows. A stronger penalty that does no worse is kept.

    Args:
        x: vectors, (N, D).
        y: class indices, (N,).
        groups: what must not be parted, (N,).
        classes: C.
        balanced: weigh each image with N / (C n_class), in the choice as in the fit.
        penalties: in falling order; a single one is taken as it is.
    """
    x = np.asarray(x, np.float32)
    centre, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
    x = (x - centre) / scale
    counts = np.bincount(y, minlength=classes)
    weight = len(y) / (classes * np.maximum(counts, 1))[y] if balanced else np.ones(len(y))
    held = _held_out(y, groups)
    penalty = (
        _chosen(x, y, weight, held, classes, penalties) if len(penalties) > 1 else penalties[0]
    )
    w = _solve(x, y, weight, classes, penalty)
    prior = np.log(np.maximum(counts, 0.5) / len(y))
    return Probe(centre, scale, w[:-1], w[-1], prior, penalty)


def _held_out(y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """A fifth of the groups of each class, as a mask of rows."""
    names, first = np.unique(groups, return_index=True)
    order = np.random.default_rng(0).permutation(len(names))
    order = order[np.argsort(y[first][order], kind="stable")]
    chosen = names[order[::INNER]]
    return np.isin(groups, chosen)


def _chosen(x, y, weight, held, classes: int, penalties) -> float:
    best, least, start = penalties[0], np.inf, None
    for penalty in penalties:
        start = _solve(x[~held], y[~held], weight[~held], classes, penalty, start)
        logp = _log_softmax(x[held] @ start[:-1] + start[-1])
        loss = -(weight[held] * logp[np.arange(held.sum()), y[held]]).sum() / weight[held].sum()
        if loss >= least:
            break
        best, least = penalty, loss
    return best


def _solve(x, y, weight, classes: int, penalty: float, start=None) -> np.ndarray:
    """(D + 1, C) weights, offsets last, by L-BFGS; the loss is convex."""
    width = x.shape[1]
    share = (weight / weight.sum()).astype(np.float32)[:, None]
    target = np.eye(classes, dtype=np.float32)[y]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(width + 1, classes).astype(np.float32)
        logp = _log_softmax(x @ w[:-1] + w[-1])
        value = -(share * target * logp).sum(dtype=np.float64)
        value += penalty / 2 * float((w[:-1].astype(np.float64) ** 2).sum())
        rest = share * (np.exp(logp) - target)
        slope = np.concatenate([x.T @ rest + penalty * w[:-1], rest.sum(0, keepdims=True)])
        return value, slope.ravel().astype(np.float64)

    flat = np.zeros((width + 1) * classes) if start is None else start.ravel().astype(np.float64)
    options = {"maxiter": 300, "ftol": 1e-7, "gtol": 1e-5}
    found = minimize(loss, flat, jac=True, method="L-BFGS-B", options=options).x
    return found.reshape(width + 1, classes).astype(np.float32)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
