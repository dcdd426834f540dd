"""docs/audit.md shows the committed numbers and nothing else."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_the_page_is_made_from_the_committed_rows():
    spec = importlib.util.spec_from_file_location("audit_bench", ROOT / "benchmarks" / "audit.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    assert all(page.count(mark) == 1 for mark in script.MARKS)
    assert script.page_with_table(page) == page
