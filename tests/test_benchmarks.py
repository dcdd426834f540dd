"""The measuring scripts run, with settings so tiny that their numbers mean nothing."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.slow
def test_one_command_measures_a_gpu(tmp_path):
    environment = os.environ | {"PYTHON": sys.executable}
    command = ["bash", BENCHMARKS / "gpu.sh", "--tiny", "--results", tmp_path / "gpu.csv"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {row["arm"]: float(row["ratio"]) for row in rows(tmp_path / "gpu.csv")}
    assert found["step"] == 1 and set(found) >= {"loader", "device", "bare", "timm", "inference"}


@pytest.mark.slow
def test_a_ratio_that_fell_by_more_than_a_third_fails_the_check(tmp_path):
    path = tmp_path / "steps.csv"
    tiny = ["--image-size", "32", "--batch-size", "2", "--steps", "2", "--repeats", "1"]
    command = [sys.executable, BENCHMARKS / "steps.py", *tiny, "--results", path]
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent)}

    def run(*more: str) -> subprocess.CompletedProcess:
        return subprocess.run([*command, *more], env=environment, capture_output=True, text=True)

    assert run().returncode == 0
    measured = rows(path)
    assert len(measured) == 5 and all(float(row["ratio"]) > 0 for row in measured)
    text = path.read_text()
    for row in measured:  # ratios that no machine reaches
        text = text.replace(f",{row['ratio']},", f",{1000 * float(row['ratio'])},", 1)
    path.write_text(text)
    checked = run("--check")
    assert checked.returncode == 1 and checked.stdout.count("slower:") == 5
