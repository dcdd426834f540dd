"""SMOTE and its kin between pooled embeddings, as recipes: who is blended with whom, and how much.

imbalanced-learn is handed the identity matrix in place of embeddings, and a finder of neighbours
that looks the embeddings up: a synthetic row then has the shares of its two images as its only
entries, whatever method made it. So one recipe blends every augmented view of the two.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from dermasense.data.balance import Draws, TrainingSplit, check_present
from dermasense.errors import DermaSenseError, check_choice

SAMPLERS = ("smote", "borderline", "adasyn", "smote_enn")
# Neighbours by which BorderlineSMOTE calls a sample endangered and ENN drops it: the papers' and
# imbalanced-learn's own defaults.
DANGER, EDITED = 10, 3


def smote_features(
    features: np.ndarray, split: TrainingSplit, method: str = "smote", k_neighbors: int = 5
) -> Draws:
    """Every sample of an epoch: the real ones, then the synthetic ones.

    Args:
        features: (n, D), pooled embedding of each training row.
        split: the rows; its images are not read.
        method: "smote" (Chawla et al. 2002), "borderline" (Han et al. 2005, borderline-1),
            "adasyn" (He et al. 2008) or "smote_enn" (Batista et al. 2004), which afterwards drops
            samples, real ones too, whose three nearest neighbours are mostly of another class.
        k_neighbors: neighbours of the same class among which one is drawn, >= 1.

    Returns:
        Draws over the rows of the split; blended by
        first + weight * (second - first) they are what imbalanced-learn returns for `features`, up
        to rounding and to which of two neighbours at the same distance is the nearer.

    Raises:
        DermaSenseError: an unknown method, a class with too few images, or data that the method
            cannot handle.
    """
    check_method(method)
    counts = np.bincount(split.labels, minlength=len(split.class_names))
    check_neighbours("smote_features", counts, split.class_names, k_neighbors)
    features = np.asarray(features, dtype=np.float32)
    if len(features) <= max(DANGER, k_neighbors):
        raise DermaSenseError(
            f"balance=smote_features: {len(features)} training images are fewer than the "
            f"{max(DANGER, k_neighbors) + 1} that it compares; use balance=sampler"
        )
    if (counts == counts.max()).all() and method != "smote_enn":
        return split.plain  # nothing to make
    sampler = _sampler(method, features, k_neighbors, split.seed)
    try:
        shares, _ = sampler.fit_resample(sparse.identity(len(features), format="csr"), split.labels)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DermaSenseError(
            f"balance.method={method} fails on these embeddings ({reason}); use "
            "balance.method=smote or balance=sampler"
        ) from None
    draws = _draws(shares)
    left = np.bincount(split.labels[draws.first], minlength=len(counts))
    if (left == 0).any():
        name = split.class_names[int(np.flatnonzero(left == 0)[0])]
        raise DermaSenseError(
            f"balance.method={method} drops every sample of class '{name}', which lies among "
            "other classes; use balance.method=smote"
        )
    return draws


def check_method(method: str) -> None:
    """Raises DermaSenseError for a method that is none of `SAMPLERS`."""
    check_choice("balance.method", method, SAMPLERS)


def check_k(k_neighbors: int) -> None:
    """Raises DermaSenseError for a number of neighbours that is none."""
    if type(k_neighbors) is not int or k_neighbors < 1:
        raise DermaSenseError(f"balance.k_neighbors={k_neighbors} must be an integer, 1 or more")


def check_smote(frame: pd.DataFrame, method: str = "smote", k_neighbors: int = 5) -> None:
    """Of `dermasense.data.balance.METHODS`: the options alone, the rows are not looked at."""
    check_method(method)
    check_k(k_neighbors)


def check_neighbours(
    balance: str, counts: np.ndarray, class_names: Sequence[str], k_neighbors: int
) -> None:
    """Holds the classes against the number of neighbours that each image needs in its own.

    Args:
        balance: "smote" or "smote_features".
        counts: (C,) training images of each class.
        class_names: the C names.
        k_neighbors: neighbours of the same class among which one is drawn.

    Raises:
        DermaSenseError: no number of neighbours, or a class with no image, or not more than that.
    """
    check_k(k_neighbors)
    check_present(counts, class_names, f"balance={balance}")
    poor = int(counts.argmin())
    if counts[poor] > k_neighbors or counts[poor] == counts.max():
        return
    count, name = int(counts[poor]), class_names[poor]
    if count == 1:
        raise DermaSenseError(
            f"class '{name}' has 1 training image and balance={balance} blends two, so no "
            "balance.k_neighbors will do; add images of it or use balance=sampler"
        )
    raise DermaSenseError(
        f"class '{name}' has {count} training images, and balance={balance} with "
        f"balance.k_neighbors={k_neighbors} needs {k_neighbors + 1} (an image is not its own "
        f"neighbour); use balance.k_neighbors={count - 1} or balance=sampler"
    )


def _sampler(method: str, features: np.ndarray, k: int, seed: int) -> Any:
    # Imported here: imbalanced-learn takes a second that the other balances need not wait for.
    from imblearn.combine import SMOTEENN
    from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
    from imblearn.under_sampling import EditedNearestNeighbours

    near = _Neighbours(features, k)
    if method == "borderline":
        danger = _Neighbours(features, DANGER)
        return BorderlineSMOTE(k_neighbors=near, m_neighbors=danger, random_state=seed)
    if method == "adasyn":
        return ADASYN(n_neighbors=near, random_state=seed)
    smote = SMOTE(k_neighbors=near, random_state=seed)
    if method == "smote":
        return smote
    edited = EditedNearestNeighbours(
        sampling_strategy="all", n_neighbors=_Neighbours(features, EDITED)
    )
    return SMOTEENN(smote=smote, enn=edited, random_state=seed)


class _Neighbours:
    """scikit-learn's NearestNeighbors over shares of rows: it sees the embeddings they make."""

    def __init__(self, features: np.ndarray, k: int) -> None:
        self.features, self.n_neighbors = features, k + 1  # one more: a row finds itself
        self.search = NearestNeighbors(n_neighbors=k + 1)

    def __sklearn_clone__(self) -> "_Neighbours":
        return _Neighbours(self.features, self.n_neighbors - 1)

    def set_params(self, n_jobs: int | None) -> None:
        """Called by ENN; the search keeps to its threads."""

    def fit(self, X: sparse.csr_matrix) -> "_Neighbours":
        self.search.fit(X @ self.features)
        return self

    def kneighbors(self, X: sparse.csr_matrix, return_distance: bool = False) -> np.ndarray:
        return self.search.kneighbors(X @ self.features, return_distance=return_distance)

    def kneighbors_graph(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("imbalanced-learn asks for the method's name only")


def _draws(shares: sparse.csr_matrix) -> Draws:
    """Rows of one share (a real image) or two (a blend) as draws; the larger share is `first`."""
    shares = sparse.csr_matrix(shares)
    shares.eliminate_zeros()
    shares.sort_indices()
    starts, count = shares.indptr[:-1], np.diff(shares.indptr)
    last = shares.indptr[1:] - 1
    one, other = shares.indices[starts].astype(np.int64), shares.indices[last].astype(np.int64)
    weight = np.where(count == 2, shares.data[last], 0.0)
    swap = weight > 0.5
    return Draws(
        np.where(swap, other, one), np.where(swap, one, other), np.where(swap, 1 - weight, weight)
    )
