"""Commands in processes of their own, to be killed."""

import os
import subprocess
import sys
from pathlib import Path


def train(cache: Path, *words: str) -> subprocess.Popen:
    """The train command; what it says of mistakes can be read from its stderr."""
    environment = {**os.environ, "DERMASENSE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "dermasense.train", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
