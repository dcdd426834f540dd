"""Writes docs/leaderboard.md and docs/label_efficiency.svg from benchmarks/results/*.csv.

    python benchmarks/leaderboard_page.py

A test holds the page to what this gives, so a number there is always one of the tables.
"""

import pandas as pd
from label_efficiency import NAMES, drawing
from marked import DOCS, counted, markdown, published, short, table_of, with_interval, write_page

SHOWN = ("top1", "top2", "balanced_accuracy", "macro_f1", "weighted_f1")
HEAD = ["top-1", "top-2", "balanced accuracy", "macro-F1", "weighted F1"]
ECE = ("ece", "tempered_ece", "tempered_ece_by_chance")
DRAWING = DOCS / "label_efficiency.svg"
RECIPE = "lite0_lr"


def board(dataset: str) -> str:
    """A row a system, best balanced accuracy first among whole ones, the partial ones after."""
    table = table_of(f"{dataset}_oof")
    if table.empty:
        return "Not measured yet."
    order = table.assign(
        partial=pd.to_numeric(table["folds"]) < 5, score=pd.to_numeric(table["balanced_accuracy"])
    )
    table = order.sort_values(["partial", "score"], ascending=[True, False], kind="stable")
    rows = [
        [
            f"`{row['system']}`: {row['about']}",
            counted(row) + _partial(row),
            *(with_interval(row, name) for name in SHOWN),
            " / ".join(short(row[name]) for name in ECE),
            *_cost(row),
        ]
        for _, row in table.iterrows()
    ]
    head = ["system", "images (groups)", *HEAD, "ECE before / after temperature / by chance"]
    return markdown([*head, "parameters", "GFLOPs", "ms"], rows)


def gains(dataset: str) -> str:
    """What each step adds to the system it builds on."""
    table = table_of(f"{dataset}_oof")
    if table.empty:
        return "Not measured yet."
    rows = [
        [
            f"`{row['system']}`",
            f"`{row['base']}`",
            f"{int(row['base_n']):,}",
            *(with_interval(row, f"{name}_gain", signed=True) for name in NAMES),
            with_interval(row, "nll_gain", signed=True),
        ]
        for _, row in table[table["base"] != ""].iterrows()
    ]
    return markdown(["system", "minus", "images", *NAMES.values(), "NLL"], rows)


def commands(dataset: str) -> str:
    """How each row was made."""
    table = table_of(f"{dataset}_oof")
    if table.empty:
        return "Not measured yet."
    rows = [
        [f"`{row['system']}`", f"`{row['command']}`", row["commit"] or "-", row["machine"] or "-"]
        for _, row in table.iterrows()
    ]
    return markdown(["system", "command", "commit", "machine"], rows)


def elsewhere() -> str:
    """What others report: a row a system, as in published.csv."""
    rows = [
        [
            row["dataset"],
            row["judged"],
            row["system"],
            *(with_interval(row, name) for name in NAMES),
            f"<{row['source']}>" if row["source"].startswith("http") else row["source"],
        ]
        for row in published()
    ]
    return markdown(["data", "judged", "system", *NAMES.values(), "source"], rows)


def label_efficiency() -> str:
    """A row a share of the training lesions."""
    table = table_of("label_efficiency")
    if table.empty:
        return "Not measured yet."
    rows = [
        [
            f"`{row['recipe']}`",
            f"{100 * float(row['share']):.0f} %",
            f"{int(row['train_lesions']):,} ({int(row['train_images']):,})",
            *(with_interval(row, name) for name in NAMES),
        ]
        for _, row in table.iterrows()
    ]
    head = ["recipe", "of the training lesions", "lesions (images) in a fold", *NAMES.values()]
    return markdown(head, rows)


def _partial(row: pd.Series) -> str:
    folds = int(row["folds"])
    return "" if folds == 5 else f", **partial: {folds} of 5 folds**"


def _cost(row: pd.Series) -> list[str]:
    if not row["parameters"]:
        return ["-"] * 3
    return [f"{float(row['parameters']) / 1e6:.1f} M", row["gflops"], row["milliseconds"]]


PARTS = {
    "ham10000": lambda: board("ham10000"),
    "ham10000_gains": lambda: gains("ham10000"),
    "ham10000_commands": lambda: commands("ham10000"),
    "published": elsewhere,
    "fitzpatrick21": lambda: board("fitzpatrick21"),
    "fitzpatrick21_gains": lambda: gains("fitzpatrick21"),
    "fitzpatrick21_commands": lambda: commands("fitzpatrick21"),
    "label_efficiency": label_efficiency,
}


def curve() -> str | None:
    """The drawing, or None where nothing was measured."""
    table = table_of("label_efficiency")
    return None if table.empty else drawing(table.to_dict("records"), RECIPE)


def main() -> None:
    write_page("leaderboard", PARTS)
    if found := curve():
        DRAWING.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
