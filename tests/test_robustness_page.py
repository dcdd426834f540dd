"""docs/robustness.md: its numbers are those of the committed tables."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def module():
    import robustness_page

    return robustness_page


def test_the_tables_of_the_page_are_what_the_tables_give(module):
    page = module.PAGE.read_text(encoding="utf-8")
    assert module.page_with_tables(page) == page
    assert all(f"<!-- {name}: written by" in page for name in module.TABLES)
    assert all(table in page for table in (make() for make in module.TABLES.values()))


def test_numbers_are_short_and_signed(module):
    assert [module._short(each) for each in ("0.82", "-0.041", "1.0", "-0.0", "-1.25")] == [
        ".820", "-.041", "1.000", ".000", "-1.250",
    ]  # fmt: skip
    assert module._signed("0.1") == "+.100" and module._signed("-0.0001") == ".000"
