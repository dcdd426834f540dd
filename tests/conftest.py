"""What every room's tests share: real images where they lie beside the checkout, few threads."""

import os
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import pytest
import torch

# The networks here are tiny: threads cost more than they bring, and tests run beside each other.
torch.set_num_threads(1)

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data():
    """Path of a real data set by name; skips the test where it is not on this machine."""

    def find(name: str) -> Path:
        folder = REAL / name
        if not folder.is_dir():
            pytest.skip(f"no real images of {name} on this machine")
        return folder

    return find
