"""Writes the table of docs/explain.md from benchmarks/results/explain.csv.

python benchmarks/explain_page.py
"""

from pathlib import Path

from marked import markdown, with_parts

from dermasense.files import read_csv

ROOT = Path(__file__).resolve().parents[1]
TABLE, PAGE = ROOT / "benchmarks/results/explain.csv", ROOT / "docs/explain.md"
HEAD = ("way to point", "pointing (95 % interval)", "mass in the lesion", "randomised weights")


def table() -> str:
    """The table in Markdown, and how many lesions stand behind it."""
    rows = read_csv(TABLE)
    lines = [
        [
            f"`{row['method']}`" if row["randomised"] else row["method"],
            _interval(row, "pointing"),
            _interval(row, "mass"),
            f"{float(row['randomised']):.2f}" if row["randomised"] else "-",
        ]
        for row in rows
    ]
    share = f"{float(rows[0]['lesion_share']):.2f}"
    note = f"n = {rows[0]['n']} lesions, one picture each; a lesion covers {share} of its picture."
    return f"{markdown(HEAD, lines)}\n\n{note}"


def page(text: str) -> str:
    """The page with its table as the CSV gives it."""
    return with_parts(text, {"explain": table})


def _interval(row: dict, name: str) -> str:
    if not row[name]:
        return "-"
    low, high = (_short(row[f"{name}_{end}"]) for end in ("low", "high"))
    return f"{_short(row[name])} ({low} to {high})"


def _short(value: str) -> str:
    return f"{float(value):.2f}".replace("0.", ".", 1) if float(value) < 1 else "1.00"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
