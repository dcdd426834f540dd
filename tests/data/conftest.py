"""Folders and pictures that several files of tests read, and what is watched while they do."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermasense.data import store as store_module
from tests.fakes import noise


@pytest.fixture
def two_classes(tmp_path):
    """A folder of two classes, six good pictures each."""
    for label in ("mel", "nv"):
        for i in range(6):
            noise(tmp_path / "root" / label / f"{i}.png", seed=i)
    return tmp_path / "root"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for i in range(7):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture
def decoded(monkeypatch):
    """Paths that were decoded, in any order."""
    seen = []
    real = store_module._decode

    def spy(path, digest, spec):
        seen.append(path)
        return real(path, digest, spec)

    monkeypatch.setattr(store_module, "_decode", spy)
    return seen


@pytest.fixture
def events(monkeypatch):
    """What is flushed to the disk and what gets its name, in order."""
    seen, replace = [], os.replace
    monkeypatch.setattr("os.fsync", lambda _: seen.append("flushed"))

    def rename(source, target):
        seen.append(Path(target).suffix)
        replace(source, target)

    monkeypatch.setattr("os.replace", rename)
    return seen
