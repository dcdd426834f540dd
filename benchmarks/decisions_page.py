"""Writes the tables of docs/calibration.md from benchmarks/results/{calibration,decisions}.csv.

    python benchmarks/decisions_page.py

A test holds the page to what this gives, so a number there is always one of the tables.
"""

from pathlib import Path

import pandas as pd
from marked import markdown

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "calibration.md"


def calibration() -> str:
    """Before, after and change of NLL and ECE, and what it does to the answers."""
    table = _read("calibration")
    rows = []
    for (name, method), part in table.groupby(["experiment", "method"], sort=False):
        at = {(row["metric"], row["when"]): row for _, row in part.iterrows()}
        first = at["nll", "before"]
        fitted = f"{method} {float(first['fitted']):.2f}" if first["fitted"] else method
        cells = [
            f"{_value(at[key, 'before'])} → {_value(at[key, 'after'])}; {_cell(at[key, 'change'])}"
            for key in ("nll", "ece")
        ]
        moved = [_cell(at[key, "change"]) for key in ("top1", "balanced_accuracy")]
        rows.append([f"`{name}`", fitted, *cells, *moved, _n(first)])
    head = ["model", "method", "NLL: before → after; change", "ECE", "top-1, change"]
    return markdown([*head, "balanced accuracy, change", "n (groups)"], rows)


def sets() -> str:
    """Coverage and size at alpha .1."""
    table = _read("decisions")
    table = table[table["options"].str.startswith("alpha=0.1")]
    shown = {
        "b1_se_lite": ["all", "mel"],
        "ham_finetune_settled": ["all", "mel", "nv"],
        "b4_weighted_lite": ["all", "skin_type I-II", "skin_type III-IV", "skin_type V-VI"],
    }
    rows = []
    for (name, method), part in table.groupby(["experiment", "decision"], sort=False):
        for of in shown[name]:
            at = {row["metric"]: row for _, row in part[part["of"] == of].iterrows()}
            coverage, size = _cell(at["coverage"]), _cell(at["size"], 2)
            rows.append([f"`{name}`", method, of, coverage, size, _n(at["coverage"])])
    return markdown(["model", "sets", "of", "coverage", "size", "n (groups)"], rows)


def promises() -> str:
    """Sensitivity promised and reached, and what it costs."""
    table = _read("decisions")
    table = table[(table["decision"] == "risk_control") & table["options"].str.contains("exact")]
    rows = []
    for (name, of, _), part in table.groupby(["experiment", "of", "options"], sort=False):
        at = {row["metric"]: row for _, row in part.iterrows()}
        reached = at["sensitivity"]
        cells = [_cell(reached), _n(reached), _cell(at["specificity"])]
        rows.append([f"`{name}`", of, reached["asked"], *cells, _n(at["specificity"])])
    head = ["model", "classes", "promised", "sensitivity reached", "n (groups)", "specificity"]
    return markdown([*head, "n (groups)"], rows)


def referral() -> str:
    """Accuracy asked for and reached, and the share answered."""
    table = _read("decisions")
    table = table[table["decision"] == "referral"]
    rows = []
    for name, part in table.groupby("experiment", sort=False):
        at = {row["metric"]: row for _, row in part.iterrows()}
        keys = ("accuracy", "answered", "accuracy_of_all")
        asked, area = at["accuracy"]["asked"], _value(at["area"])
        cells = [_cell(at[key]) for key in keys]
        rows.append([f"`{name}`", asked, *cells, area, _n(at["answered"])])
    head = ["model", "asked for", "accuracy of the answered", "share answered", "accuracy of all"]
    return markdown([*head, "area", "n (groups)"], rows)


def photographs() -> str:
    """All photographs of a lesion against one."""
    table = _read("decisions")
    table = table[table["decision"] == "by_lesion"]
    rows = []
    for (name, options), part in table.groupby(["experiment", "options"], sort=False):
        at = {row["metric"]: row for _, row in part.iterrows()}
        cells = [_cell(at[key]) for key in ("top1", "balanced_accuracy", "nll")]
        first = at["top1"]
        rows.append([f"`{name}`", options, *cells, f"{first['of']}, {first['n']} images"])
    head = ["model", "difference", "top-1", "balanced accuracy", "NLL"]
    return markdown([*head, "n"], rows)


PARTS = {
    "calibration": calibration,
    "sets": sets,
    "promises": promises,
    "referral": referral,
    "photographs": photographs,
}


def filled(page: str) -> str:
    """The page with every table between its marks made again."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        page = before + begin + make() + "\n" + end + rest.partition(end)[2]
    return page


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"{name}.csv", dtype=str, keep_default_na=False)


def _cell(row: pd.Series, decimals: int = 3) -> str:
    if not row["low"]:
        return _value(row, decimals)
    low, high = (f"{float(row[end]):.{decimals}f}" for end in ("low", "high"))
    return f"{_value(row, decimals)} ({low} to {high})"


def _value(row: pd.Series, decimals: int = 3) -> str:
    return f"{float(row['value']):.{decimals}f}"


def _n(row: pd.Series) -> str:
    return f"{row['n']} ({row['n_groups']})"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
