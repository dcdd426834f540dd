"""Folders that several files of tests read."""

import pytest

from tests.fakes import noise


@pytest.fixture
def two_classes(tmp_path):
    """A folder of two classes, six good pictures each."""
    for label in ("mel", "nv"):
        for i in range(6):
            noise(tmp_path / "root" / label / f"{i}.png", seed=i)
    return tmp_path / "root"
