"""The same command ends the same again: `benchmarks/reliability/determinism.py`, some of it."""

import determinism
import pytest

from dermasense.files import read_csv
from tests.long import LONG


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        "again, cached",
        pytest.param("none and two workers", marks=LONG),
        pytest.param("one thread and two", marks=LONG),
    ],
)
def test_what_is_promised_is_kept(tmp_path, task):
    row = determinism.compared(task, tmp_path)
    assert row["kept"], row
    assert row["n"] > 10


def test_every_promise_was_tried_and_kept():
    rows = {row["task"]: row for row in read_csv(determinism.RESULTS)}
    assert rows.keys() == determinism.TASKS.keys()
    assert all(row["kept"] == "True" for row in rows.values())
