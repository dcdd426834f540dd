"""Pictures in a store, and what it should hold of them."""

import numpy as np

from dermasense.data.preprocess import InputSpec, read_rgb, resize_rgb

SPEC = InputSpec(16, "squash", (0.5,) * 3, (0.5,) * 3)


def expected(paths):
    return np.stack([resize_rgb(read_rgb(p), SPEC) for p in paths])
