"""How far two sources of skin types agree: the ceiling of what any number by skin type can say."""

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from dermasense.evaluation.fairness.bands import tones
from dermasense.evaluation.fairness.means import mean_intervals


def agreement(
    first: pd.Series, second: pd.Series, groups: np.ndarray, *, resamples: int, seed: int = 0
) -> dict | None:
    """Agreement of two columns of types 1 to 6 on the images where both are known.

    Args:
        first, second: the types, missing ones NaN or -1.
        groups: (N,) lesion of each image, int64.
        resamples, seed: of the bootstrap over lesions.

    Returns:
        n, n_groups, the intervals exact, within_one (type) and same_band, and kappa (Cohen's, with
        quadratic weights); None where no image has both.
    """
    one, other = (pd.to_numeric(each, errors="coerce").to_numpy(float) for each in (first, second))
    known = (one >= 1) & (one <= 6) & (other >= 1) & (other <= 6)
    if not known.any():
        return None
    apart = np.abs(one - other)[known]
    same = (tones(first).to_numpy() == tones(second).to_numpy())[known]
    shares = {"exact": apart == 0, "within_one": apart <= 1, "same_band": same}
    found = mean_intervals(
        shares, groups[known], shares=list(shares), resamples=resamples, seed=seed
    )
    types = one[known].astype(int), other[known].astype(int)
    varied = len(np.unique(np.concatenate(types))) > 1
    return {
        "n": int(known.sum()),
        "n_groups": len(np.unique(groups[known])),
        **{name: each.as_dict() for name, each in found.items()},
        "kappa": float(cohen_kappa_score(*types, weights="quadratic")) if varied else None,
    }
