"""Writes the table of results in README.md from benchmarks/results/*.csv.

    python benchmarks/readme_table.py

A test holds README to what this gives, so a number there is always one of the tables.
"""

from pathlib import Path

from dermasense.files import read_csv

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "ham10000.csv"
BEGIN, END = "<!-- results", "<!-- end of results -->"
SCORES = ("top1", "top2", "balanced_accuracy", "macro_f1", "weighted_f1", "ece")
# Always nv, and {nv, mel} as the top two, from HAM10000's class counts; the originals' own reports.
BLIND = "| HAM10000 | *always nv* | - | - | .670 | .781 | .143 | .115 | .537 | - |"
REPORTED = (
    "| HAM10000 | original b1_se, *as reported* (B1, 224 px) | not grouped | 1,503 "
    "| .712 | .909 | - | - | - | - |",
    "| Fitzpatrick17k, 21 conditions | original b4_weighted, *as reported* (B4, 380 px) | - | - "
    "| .619 | - | - | .64 | - | - |",
)


def table() -> str:
    """The table in Markdown: committed rows, beside the answer without a look and the originals."""
    lines = [
        "| data | experiment | split | test images (groups) | top-1 | top-2 | balanced accuracy "
        "| macro-F1 | weighted F1 | ECE |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in read_csv(RESULTS):
        shown = [_short(row[score]) for score in SCORES]
        where = f"{row['backbone'].removeprefix('tf_')}, {row['input_size']} px"
        lines.append(
            f"| {row['dataset']} | `{row['experiment']}` ({where}) | {row['protocol']} "
            f"| {int(row['n']):,} ({int(row['n_groups']):,}) | {' | '.join(shown)} |"
        )
    return "\n".join([*lines, BLIND, *REPORTED])


def _short(value: str) -> str:
    return f"{float(value):.3f}".removeprefix("0") if value else "-"


def readme_with_table(readme: str) -> str:
    """README's text with the table between its two marks."""
    head, _, rest = readme.partition(BEGIN)
    mark, _, rest = rest.partition("\n")
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{mark}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(readme_with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
    print(table())
