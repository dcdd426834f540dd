"""The commands of docs/scale.md, with Ray and submitit and without: what they leave is the same."""

import json
from pathlib import Path

import pandas as pd
import pytest

from dermasense import cross_validate, train
from tests.fakes import TINY

pytestmark = pytest.mark.slow
SMALL = [*TINY, "limit_epochs=1", "logger=none", "~phases.finetune", "report.images=false"]
MODULES = {"ray": "ray", "submitit_local": "submitit"}
SAME = ("predictions_val.parquet", "predictions_test.parquet", "metrics.json")


@pytest.fixture(params=MODULES)
def launcher(request):
    """Name of a launcher whose package is installed."""
    pytest.importorskip(MODULES[request.param], reason=f"{request.param} needs the extra scale")
    yield request.param
    if request.param == "ray":
        import ray

        ray.shutdown()


@pytest.fixture
def both(run_command, documented, launcher, tmp_path, monkeypatch):
    """Runs a command of the page by its launcher and without; returns the two folders."""

    # As many threads there as here: sums of another order differ in their last digits.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(name: str, place: str) -> tuple[Path, Path]:
        module = {"train": train, "cross_validate": cross_validate}[name]
        shown = documented(name, launcher)
        small = [*SMALL, f"cache_dir={tmp_path / 'cache'}"]
        own = ["launcher.num_cpus=2"] if launcher == "ray" else ["launcher.timeout_min=5"]
        for folder, words in (
            ("plain", [word for word in shown if not word.startswith("launcher=")]),
            (launcher, [*shown, *own]),
        ):
            code, _, err = run_command(module, *words, *small, f"{place}={tmp_path / folder}")
            assert code == 0, err
        return tmp_path / "plain", tmp_path / launcher

    return run


def test_a_sweep_leaves_the_same_numbers(both):
    plain, launched = both("train", "hydra.sweep.dir")
    for trial in ("0", "1"):
        for name in SAME:
            assert (launched / trial / name).read_bytes() == (plain / trial / name).read_bytes()
        made = json.loads((launched / trial / "environment.json").read_text())["command"]
        assert made.startswith(f"python -m dermasense.train seed={trial} ")
    tables = [pd.read_csv(path / "sweep.csv").drop(columns="seconds") for path in (plain, launched)]
    pd.testing.assert_frame_equal(*tables)


def test_folds_leave_the_same_table(both, run_command):
    plain, launched = both("cross_validate", "hydra.run.dir")
    for name in ("predictions_oof.parquet", "folds.csv"):
        assert (launched / name).read_bytes() == (plain / name).read_bytes()
    done = [launched / f"fold_{number}" / "finished.json" for number in range(2)]
    before = [path.stat().st_mtime_ns for path in done]
    code, _, err = run_command(cross_validate, f"resume={launched}")
    assert code == 0 and err.count("finished before") == 2
    assert [path.stat().st_mtime_ns for path in done] == before
