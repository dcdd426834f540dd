"""Writes the tables, sentences and drawing of docs/balance.md, docs/cleaning.md and of the several
resolutions in docs/many_runs.md from the CSVs.

    python benchmarks/ablation_pages.py

A test holds the pages to what this gives, so a number there is always one of the tables.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from marked import markdown, short, table_of, with_interval, with_parts, write_page

from dermasense.reporting.drawing import BLUE, GREEN, GREY, VERMILION, Plot

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"
DRAWING = DOCS / "balance.svg"
NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "top1": "top-1",
    "ece": "ECE",
}
COLOURS = {"balanced_accuracy": BLUE, "top1": VERMILION, "ece": GREEN}


def means(name: str) -> pd.DataFrame:
    """The rows of means over seeds of a table, the first of each trial."""
    table = pd.read_csv(RESULTS / f"{name}.csv", keep_default_na=False, dtype=str)
    table = table[table["seed"] == "all"]
    return table.drop_duplicates(table.columns[1]).set_index(table.columns[1], drop=False)


def balance_table() -> str:
    """A row a balance: values with intervals, and what they cost."""
    table = means("balance")
    rows = [
        [_label(row), *_cells(row), f"{float(row['cpu_seconds']):.0f}", _gigabytes(row)]
        for _, row in table.iterrows()
    ]
    return markdown(["`balance=`", *NAMES.values(), "seconds", "GB"], rows)


def balance_sentences() -> str:
    """What the original's SMOTE buys and costs: three sentences."""
    table, smote = means("balance"), _against("smote", "none")
    none, weights = table.loc["none"], table.loc["class_weights"]
    features = _against("smote_features_smote", "none")
    to_weights, to_features = (
        _against("smote", base) for base in ("class_weights", "smote_features_smote")
    )
    seconds = {row["balance"]: f"{float(row['cpu_seconds']):.0f}" for _, row in table.iterrows()}
    return (
        f"**What it buys**: pixel SMOTE moves balanced accuracy from "
        f"{short(none['balanced_accuracy'])} to {short(smote['balanced_accuracy'])} "
        f"({_gain(smote, 'balanced_accuracy')}), which is "
        f"{_verdict(to_weights, 'balanced_accuracy')} class weights, which take no more time "
        f"and reach {short(weights['balanced_accuracy'])} (SMOTE against them: "
        f"{_gain(to_weights, 'balanced_accuracy')}).\n"
        f"**What it costs**: top-1 goes from {short(none['top1'])} to {short(smote['top1'])} "
        f"({_gain(smote, 'top1')}), ECE from {short(none['ece'])} to {short(smote['ece'])} "
        f"({_gain(smote, 'ece')}; with class weights {short(weights['ece'])}), and a run takes "
        f"{seconds['smote']} seconds of processor time where without balance it takes "
        f"{seconds['none']}.\n"
        f"**Between embeddings instead of pixels** SMOTE takes {seconds['smote_features_smote']} "
        f"seconds and reaches {short(features['balanced_accuracy'])} "
        f"({_gain(features, 'balanced_accuracy')} against none), with an ECE of "
        f"{short(features['ece'])}; in balanced accuracy pixel SMOTE is "
        f"{_verdict(to_features, 'balanced_accuracy')} it (pixels against embeddings: "
        f"{_gain(to_features, 'balanced_accuracy')}).\n"
    )


def balance_note() -> str:
    """How many images, lesions and seeds stand behind the numbers."""
    table = pd.read_csv(RESULTS / "balance.csv", dtype=str, keep_default_na=False)
    seeds = table.loc[table["seed"] != "all", "seed"].nunique()
    first = table.iloc[0]
    return (
        f"Test split of {int(first['n']):,} images of {int(first['n_groups']):,} lesions, mean of "
        f"{seeds} seeds; in brackets the 95 % interval over lesions for these seeds."
    )


def cleaning_table() -> str:
    """A row a cleaning: values, and differences to none."""
    rows = []
    for name, row in means("cleaning").iterrows():
        gains = [
            _gain(row, metric, signed=False) if row["base"] else "-"
            for metric in ("balanced_accuracy", "top1", "ece")
        ]
        rows.append([f"`{name}`", *_cells(row, ("balanced_accuracy", "macro_f1", "top1")), *gains])
    head = ["`model.clean=`", "balanced accuracy", "macro-F1", "top-1"]
    return markdown([*head, "change in balanced accuracy", "in top-1", "in ECE"], rows)


def cleaning_sentence() -> str:
    """Which of them moves anything."""
    table = means("cleaning")
    moved = {}
    for metric in ("balanced_accuracy", "top1"):
        for name, row in table[table["base"] != ""].iterrows():
            low, high = float(row[f"{metric}_gain_low"]), float(row[f"{metric}_gain_high"])
            if low > 0 or high < 0:
                way = "better" if low > 0 else "worse"
                moved.setdefault(way, []).append(f"`{name}` in {NAMES[metric]}")
    first = table.iloc[0]
    parts = [f"{way}: {', '.join(names)}" for way, names in moved.items()]
    listed = " ".join(parts)
    parts += [
        f"none is shown to move {NAMES[metric]}"
        for metric in ("balanced_accuracy", "top1")
        if f"in {NAMES[metric]}" not in listed
    ]
    found = "; ".join(parts)
    return (
        f"On {int(first['n']):,} test images of {int(first['n_groups']):,} lesions, by intervals "
        f"that exclude 0 and are not corrected for how many are looked at: {found}."
    )


def drawing() -> str:
    """Balanced accuracy, top-1 and ECE of each balance with their intervals, as SVG."""
    table = means("balance")
    count = len(table)
    plot = Plot(
        "Balanced accuracy, top-1 accuracy and ECE of a frozen EfficientNet-Lite0 under each "
        "balance, with 95 % intervals over lesions.",
        size=(760, 70 + 32 * count),
        x=(-0.3, 0.8),
        y=(0.4 - count, 1.4),
        xticks=[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
        yticks=(),
    )
    for number, (metric, colour) in enumerate(COLOURS.items()):
        plot.key(230 + 170 * number, NAMES[metric], colour)
        reference = float(table.loc["none", metric])
        plot.line([reference] * 2, [0.5, 0.4 - count], colour, dash="2 4", width=1)
    for place, (_, row) in enumerate(table.iterrows()):
        plot.words(-0.36, -place, _label(row).replace("`", ""))
        for shift, (metric, colour) in enumerate(COLOURS.items()):
            y = 0.22 * (1 - shift) - place
            ends = [float(row[f"{metric}_low"]), float(row[f"{metric}_high"])]
            plot.line(ends, [y, y], colour, width=2)
            plot.line([float(row[metric])], [y], colour, dots=True)
        if place:
            plot.line([-0.36, 0.8], [0.5 - place] * 2, GREY, width=0.3)
    return plot.svg() + "\n"


def resolutions() -> str:
    """A row a network, the gains to one look at the same cost."""
    table = table_of("multiscale")
    first = table.iloc[0]
    metrics = {"top1": "top-1", "balanced_accuracy": "balanced accuracy"}
    rows = [
        [
            f"`{row['looks']}`",
            " and ".join([row["input_size"]] + [str(int(row["input_size"]) // 2)] * (look > 0)),
            short(row["gflops"]),
            *(with_interval(row, metric) for metric in metrics),
            *(with_interval(row, f"{metric}_gain", signed=True) for metric in metrics),
        ]
        for _, group in table.groupby("compared_at")
        for look, (_, row) in enumerate(group.iterrows())
    ]
    head = ["looks", "px", "GFLOPs", *metrics.values(), "gain in top-1", "in balanced accuracy"]
    return (
        f"A head on frozen EfficientNet-Lite0, out of fold on {int(first['n']):,} images of "
        f"HAM10000 ({int(first['n_groups']):,} lesions); gains are to the one look above them:\n\n"
        + markdown(head, rows)
    )


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "balance": {"note": balance_note, "sentences": balance_sentences, "table": balance_table},
    "cleaning": {"sentence": cleaning_sentence, "table": cleaning_table},
    "many_runs": {"resolutions": resolutions},
}


def page_with_parts(name: str, page: str) -> str:
    """A page's text with each part between its marks."""
    return with_parts(page, PARTS[name])


def _against(name: str, base: str) -> pd.Series:
    table = pd.read_csv(RESULTS / "balance.csv", keep_default_na=False, dtype=str)
    wanted = (table["balance"] == name) & (table["seed"] == "all") & (table["base"] == base)
    return table[wanted].iloc[0]


def _verdict(row: pd.Series, metric: str) -> str:
    low, high = float(row[f"{metric}_gain_low"]), float(row[f"{metric}_gain_high"])
    return (
        "more than" if low > 0 else "less than" if high < 0 else "not significantly different from"
    )


def _label(row: pd.Series) -> str:
    name, loss = row["balance"], row["loss"]
    if name == "focal":
        return "`none`, focal loss"
    if name.startswith("smote_features_"):
        return f"`smote_features`, `{name.removeprefix('smote_features_')}`"
    if name == "smote":
        return "`smote` (pixels)"
    return f"`{name}`" + (", focal loss" if loss == "focal" else "")


def _cells(row: pd.Series, metrics=tuple(NAMES)) -> list[str]:
    return [
        f"{short(row[each])} ({short(row[f'{each}_low'])} to {short(row[f'{each}_high'])})"
        for each in metrics
    ]


def _gain(row: pd.Series, metric: str, *, signed: bool = True) -> str:
    value, low, high = (
        short(row[f"{metric}_gain{end}"], signed=True) for end in ("", "_low", "_high")
    )
    return f"{value}, {low} to {high}" if signed else f"{value} ({low} to {high})"


def _gigabytes(row: pd.Series) -> str:
    return f"{float(row['peak_mb']) / 1000:.2f}"


def main() -> None:
    """Writes all pages and the drawing."""
    DRAWING.write_text(drawing(), encoding="utf-8")
    for name in PARTS:
        write_page(name, PARTS[name])


if __name__ == "__main__":
    main()
