"""Tables of invented people whose model is calibrated, and serves all alike unless told."""

import numpy as np
import pandas as pd

from dermasense.evaluation.predictions import Predictions

CLASSES = ("nv", "mel", "bcc", "bkl", "df")


def people(
    seed: int, sizes: tuple[int, ...], *, wrong: tuple[float, ...] = (), per_lesion: float = 1.3
) -> Predictions:
    """`sizes[k]` images of value k ("a", "b", ...) of the column sex.

    Labels are drawn from the predicted probabilities; `wrong[k]` of the images of value k then
    have another label.
    """
    rng = np.random.default_rng(seed)
    n, value = sum(sizes), np.repeat(np.arange(len(sizes)), sizes)
    p = rng.dirichlet(np.full(len(CLASSES), 0.35), size=n)
    labels = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    if wrong:
        moved = rng.random(n) < np.array(wrong)[value]
        labels = np.where(moved, (labels + 1) % len(CLASSES), labels)
    lesions = [1000 * k + rng.integers(max(int(s / per_lesion), 1), size=s) for k, s in
               enumerate(sizes)]  # fmt: skip
    frame = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(n)],
            "group": np.concatenate(lesions).astype(str),
            "label": [CLASSES[c] for c in labels],
            "sex": np.array(list("abcdefgh"))[value],
        }
    )
    return Predictions(frame, np.log(p + 1e-9), CLASSES)
