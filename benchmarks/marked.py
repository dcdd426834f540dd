"""Pages whose tables stand between marks, `<!-- name: ... -->` and `<!-- end of name -->`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from dermasense.files import write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"


def table_of(name: str, folder: Path = RESULTS) -> pd.DataFrame:
    """A committed table, all cells as text; empty where it does not stand yet."""
    path = folder / f"{name}.csv"
    if not path.exists():
        return pd.DataFrame()
    return pd.read_csv(path, keep_default_na=False, dtype=str)


def published() -> list[dict[str, str]]:
    """Figures of others on grouped folds and on the official test, as they reported them."""
    return table_of("published", ROOT / "benchmarks").to_dict("records")


def with_parts(page: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """A page's text with each part between its marks.

    Raises:
        SystemExit: a mark that the page lacks.
    """
    for part, text in parts.items():
        head, mark, rest = page.partition(f"<!-- {part}:")
        line, _, rest = rest.partition("\n")
        _, end, tail = rest.partition(f"<!-- end of {part} -->")
        if not mark or not end:
            raise SystemExit(f"the page has no part {part}")
        page = f"{head}{mark}{line}\n{text().rstrip()}\n{end}{tail}"
    return page


def write_page(name: str, parts: Mapping[str, Callable[[], str]]) -> None:
    """Writes docs/<name>.md again."""
    page = DOCS / f"{name}.md"
    write_text(page, with_parts(page.read_text(encoding="utf-8"), parts))
    print(page)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def short(value: str, *, signed: bool = False) -> str:
    """Three decimals without the leading zero; "-" for nothing."""
    if value == "":
        return "-"
    return f"{float(value):{'+' if signed else ''}.3f}".replace("0.", ".", 1)


def counted(row: Mapping[str, str]) -> str:
    """Images and groups of a row, "1,502 (1,121)"."""
    return f"{int(row['n']):,} ({int(row['n_groups']):,})"


def with_interval(row: Mapping[str, str], name: str, *, signed: bool = False) -> str:
    """Value and interval of a metric, ".812 (.801 to .823)"."""
    value, low, high = (row.get(f"{name}{end}", "") for end in ("", "_low", "_high"))
    if value == "":
        return "-"
    if low == "":
        return short(value, signed=signed)
    return f"{short(value, signed=signed)} ({short(low, signed=signed)} to " + (
        f"{short(high, signed=signed)})"
    )
