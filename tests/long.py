"""The mark of tests that want two cores to themselves for minutes."""

import os

import pytest

LONG = pytest.mark.skipif(
    "DERMASENSE_LONG" not in os.environ,
    reason="wants two cores to itself: set DERMASENSE_LONG=1",
)
