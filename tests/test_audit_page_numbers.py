"""docs/audit.md shows the committed numbers and nothing else."""

from pathlib import Path

import audit

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_the_page_is_made_from_the_committed_rows():
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    assert all(page.count(mark) == 1 for mark in audit.MARKS)
    assert audit.page_with_table(page) == page
