"""docs/speed.md says what its tables say."""


def test_the_page_is_what_the_tables_give():
    import speed_page
    from marked import DOCS, with_parts

    page = (DOCS / "speed.md").read_text(encoding="utf-8")
    assert with_parts(page, speed_page.PARTS) == page
