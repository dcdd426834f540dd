"""A Ray cluster of two nodes, where Ray is installed, and how to kill its parts."""

import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELIABILITY = ROOT / "benchmarks" / "reliability"


@pytest.fixture(scope="session")
def documented():
    """The words of a command in docs/scale.md, by its module and launcher."""

    def words(module: str, launcher: str) -> list[str]:
        for line in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").splitlines():
            typed = shlex.split(line, comments=True) if line.startswith("    python") else []
            if typed[1:3] == ["-m", f"dermasense.{module}"] and f"launcher={launcher}" in typed:
                return typed[3:]
        raise AssertionError(f"docs/scale.md shows no {module} with launcher={launcher}")

    return words


@pytest.fixture(scope="session")
def two_nodes():
    """`benchmarks/reliability/two_nodes.py`; skips the test where Ray is not installed."""
    pytest.importorskip("ray", reason="Ray is not installed (extra scale)")
    pytest.importorskip("psutil", reason="psutil is not installed (extra dev)")
    import two_nodes

    return two_nodes


@pytest.fixture
def cluster(two_nodes):
    """A fresh cluster, which a test may kill parts of; this process leaves it at the end."""
    import ray

    with two_nodes.TwoNodes() as started:
        yield started
        ray.shutdown()
