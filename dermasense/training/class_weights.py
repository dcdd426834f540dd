"""How much a class counts in the loss, from its number of training images."""

from collections.abc import Sequence

import numpy as np

from dermasense.data.balance import check_present
from dermasense.errors import DermaSenseError, nearest

WEIGHTINGS = ("balanced", "sqrt", "effective")


def class_weights(
    counts: Sequence[int] | np.ndarray,
    scheme: str = "balanced",
    *,
    beta: float = 0.9999,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """One weight per class, scaled so that the mean over the training images is 1.

    Args:
        counts: (C,) training images of each class, all > 0.
        scheme: `balanced`: 1/n_c, which the scaling makes N / (C n_c), scikit-learn's "balanced";
            `sqrt`: 1/sqrt(n_c); `effective`: (1 - beta) / (1 - beta^n_c), the inverse of the
            effective number of samples (Cui et al. 2019, eq. 2).
        beta: in [0, 1), for `effective`.
        class_names: for the message about an absent class.

    Returns:
        (C,) float64.

    Raises:
        DermaSenseError: for an unknown scheme, a beta out of range or a class without images.
    """
    if scheme not in WEIGHTINGS:
        raise DermaSenseError(
            f"loss.weighting={scheme} is not known; {nearest(scheme, WEIGHTINGS)}"
        )
    counts = np.asarray(counts, dtype=np.float64)
    check_present(counts, class_names, f"weighting={scheme}")
    if scheme == "balanced":
        raw = 1 / counts
    elif scheme == "sqrt":
        raw = 1 / np.sqrt(counts)
    else:
        if not 0 <= beta < 1:
            raise DermaSenseError(f"loss.beta={beta} must be in [0, 1)")
        raw = (1 - beta) / (1 - beta**counts)
    return raw * counts.sum() / (raw * counts).sum()
