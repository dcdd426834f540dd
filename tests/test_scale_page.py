"""docs/scale.md: its table is that of the committed rows, which are of stages that grow in line."""

import csv
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def module():
    import scale_catalog

    return scale_catalog


def test_the_table_of_the_page_is_that_of_the_rows(module):
    page = module.PAGE.read_text(encoding="utf-8")
    assert (
        "<!-- scale: written by benchmarks/scale_catalog.py -->" in page
        and module.page_with_table(page) == page
    )


def test_every_stage_was_measured_at_every_size_and_grows_in_line(module):
    with open(module.RESULTS, encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    rows = {(row["stage"], int(row["n"])): float(row["cpu_seconds"]) for row in table}
    assert rows.keys() == {(stage, n) for stage in module.STAGES for n in module.SIZES}
    small, large = module.SIZES[0], module.SIZES[-1]
    for stage in module.STAGES:  # n log n and what is paid once leave room; a square would be 100
        assert rows[stage, large] < 2.5 * large / small * max(rows[stage, small], 0.02), stage


def test_a_small_run_measures_every_stage(module, tmp_path):
    module.draw(tmp_path, 2000)
    for stage in (
        "catalog",
        "split",
        "epoch",
        "store_build",
        "store_open",
        "predictions",
        "metrics",
    ):
        work = module.STAGES[stage][0](tmp_path)
        began = time.process_time()
        work()
        assert time.process_time() > began, stage
