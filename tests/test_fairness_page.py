"""docs/fairness.md: its numbers are those of the committed tables."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_tables_of_the_page_are_what_the_tables_give():
    place = ROOT / "benchmarks" / "fairness_page.py"
    spec = importlib.util.spec_from_file_location("fairness_page", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text(encoding="utf-8")
    assert module.page_with_tables(page) == page
    assert all(f"<!-- {name}: written by" in page for name in module.TABLES)
