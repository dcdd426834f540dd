"""docs/fairness.md: its numbers are those of the committed tables."""

from pathlib import Path

import fairness_page

ROOT = Path(__file__).resolve().parents[1]


def test_the_tables_of_the_page_are_what_the_tables_give():
    page = fairness_page.PAGE.read_text(encoding="utf-8")
    assert fairness_page.page_with_tables(page) == page
    assert all(f"<!-- {name}: written by" in page for name in fairness_page.TABLES)
