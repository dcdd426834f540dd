"""Writes the tables of docs/fairness.md from benchmarks/results/*.csv.

    python benchmarks/fairness_page.py

A test holds the page to what this gives, so a number there is always one of the tables.
"""

from pathlib import Path

import pandas as pd
from marked import markdown, with_parts

from dermasense.evaluation.fairness.bands import banded
from dermasense.evaluation.predictions import read_predictions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "fairness.md"
SOURCES = ("skin_type", "skin_type_centaur")
NAMES = {
    "top1": "top-1",
    "balanced_accuracy": "balanced accuracy",
    "malignant_recall": "recall of the malignant",
    "overconfidence": "over-confidence",
}


def groups() -> str:
    """How the model on fitzpatrick21 serves the bands of both sources."""
    table = _read("fairness_groups")
    table = table[(table["row"] == "value") & table["attribute"].isin(SOURCES)]
    rows = []
    for (attribute, value), part in table.groupby(["attribute", "value"], sort=False):
        by_metric = {row["metric"]: row for _, row in part.iterrows()}
        cells = [_cell(by_metric[metric], "number", "low", "high") for metric in NAMES]
        cells[2] += f", n {by_metric['malignant_recall']['n']}"
        first = by_metric["top1"]
        rows.append([f"`{attribute}`", value, f"{first['n']} ({first['n_groups']})", *cells])
    return markdown(["source", "types", "n (groups)", *NAMES.values()], rows)


def gaps() -> str:
    """The widest gap of each attribute and metric, against chance."""
    table = _read("fairness_groups")
    table = table[(table["row"] == "gap") & ~table["attribute"].str.contains("single")]
    table = table[table["metric"].isin(["top1", "malignant_recall"])]
    rows = [
        [
            f"`{row['experiment']}`", row["attribute"], NAMES[row["metric"]], row["value"],
            row["better"],
            _cell(row, "number", "low", "high"), _short(row["by_chance"]),
            row["pairs_that_differ"].replace("<", "below") or "none", str(row["n"]),
        ]
        for _, row in table.iterrows()
    ]  # fmt: skip
    head = ["model", "by", "metric", "lowest", "highest", "gap (corrected interval)"]
    return markdown([*head, "by chance", "pairs that differ", "n"], rows)


def tones() -> str:
    """L*, b* and ITA by type."""
    table = _read("skin_tone_measure")
    table = table[table["of"].str.match(r"skin_type [IV]+$")]
    rows = []
    for of, part in table.groupby("of", sort=False):
        cells = [
            f"{float(row['value']):.1f} ({float(row['low_quartile']):.1f} to "
            f"{float(row['high_quartile']):.1f})"
            for _, row in part.iterrows()
        ]
        rows.append([of.removeprefix("skin_type "), str(part["n"].iloc[0]), *cells])
    return markdown(["type", "n", "L\\*", "b\\*", "ITA, degrees"], rows)


def shifts() -> str:
    """Changed answers of shifts between tones, and of their controls, over all tones shifted to."""
    table, rows = _read("skin_tone"), []
    for _, row in table[table["target"] == "all"].iterrows():
        cells = [
            _cell(row, name, f"{name}_low", f"{name}_high")
            for name in ("changed", "changed_control", "changed_excess", "moved_excess")
        ]
        about = [row["region"], row["origin"], f"{row['n']} ({row['n_groups']})"]
        rows.append([*about, f"{float(row['length']):.1f}", *cells])
    head = ["moved", "from types", "n (groups)", "length", "changed", "control", "excess"]
    return markdown([*head, "excess in probability"], rows)


def mitigations() -> str:
    """Before and after, by top-1 accuracy."""
    table = _read("fairness")
    table = table[table["metric"] == "top1"]
    rows = []
    for _, row in table.iterrows():
        worst = _cell(row, "worst", "worst_low", "worst_high")
        gap = _cell(row, "gap", "gap_low", "gap_high")
        rows.append(
            [
                f"`{row['method']}`", f"`{row['attribute']}`",
                _cell(row, "top1", "top1_low", "top1_high"),
                _cell(row, *(f"top1_change{end}" for end in ("", "_low", "_high"))),
                _cell(row, *(f"balanced_accuracy_change{end}" for end in ("", "_low", "_high"))),
                f"{row['worst_group']} (n {row['worst_n']}): {worst}",
                f"{gap}, by chance {_short(row['gap_by_chance'])}",
                _cell(row, *(f"gap_change{end}" for end in ("", "_low", "_high"))),
            ]
        )  # fmt: skip
    head = ["method", "source", "top-1", "change", "change in balanced accuracy", "lowest band"]
    return markdown([*head, "gap (corrected interval)", "change in gap"], rows)


def agreement() -> str:
    """How far the two sources agree on the test images, as a sentence."""
    table = _read("fairness_groups")
    table = table[table["row"] == "agreement"].set_index("metric")
    exact, near, band = (
        _cell(table.loc[name], "number", "low", "high")
        for name in ("exact", "within_one", "same_band")
    )
    first = table.iloc[0]
    return (
        f"On the {first['n']} test images ({first['n_groups']} scenes) that both sources label, "
        f"they agree on the type for {exact}, within one type for {near}, on the band for "
        f"{band}. Of the images that the first source puts in a band, the other puts elsewhere: "
        f"{_elsewhere()}."
    )


def _elsewhere() -> str:
    frame = read_predictions(RESULTS / "pairs" / "b4_weighted_lite_test.parquet").frame
    first, second = (banded(source, frame[source]) for source in SOURCES)
    both = first.notna() & second.notna()
    moved = (first != second)[both].groupby(first[both]).agg(["sum", "size"])
    return ", ".join(f"{band} {row['sum']} of {row['size']}" for band, row in moved.iterrows())


def false_alarms() -> str:
    """How often the audit errs where no group differs, as a sentence."""
    table = _read("fairness_false_alarms")
    shares = table["false_alarms"].astype(float)
    judged, ece = shares[table["metric"] != "ece"], shares[table["metric"] == "ece"]
    return (
        f"In {int(table['n'].iloc[0]):,} simulated tables of each of {len(ece)} kinds, where no "
        f"group differs, {_short(judged.min())} to {_short(judged.max())} then show a difference "
        f"(nominal: at most .05); by ECE it would be {_short(ece.min())} to {_short(ece.max())}."
    )


def segmentation() -> str:
    """How good skin and tone are found, as a sentence."""
    table = _read("skin_tone_measure").set_index("what")
    iou, share = table.loc["IoU of the lesion"], table.loc["share of lesions with IoU above .5"]
    enough = table.loc["share with enough skin"]
    by_source = table.loc["rank correlation of ita"].set_index("of")["value"]
    return (
        f"On {iou['n']} synthetic pictures, whose masks are known, the lesion's intersection over "
        f"union has the median {_short(iou['value'])} (quartiles {_short(iou['low_quartile'])} and "
        f"{_short(iou['high_quartile'])}) and is above .5 in {_short(share['value'])}. Of the "
        f"{enough['n']} training images {_short(enough['value'])} show enough skin to have a tone; "
        f"their ITA has the rank correlation {_short(by_source['skin_type'])} with `skin_type` and "
        f"{_short(by_source['skin_type_centaur'])} with `skin_type_centaur`."
    )


TABLES = {
    "agreement": agreement,
    "false_alarms": false_alarms,
    "segmentation": segmentation,
    "groups": groups,
    "gaps": gaps,
    "tones": tones,
    "shifts": shifts,
    "mitigations": mitigations,
}


def page_with_tables(page: str) -> str:
    """The page's text with each table between its marks."""
    return with_parts(page, TABLES)


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"{name}.csv", dtype=str, keep_default_na=False)


def _cell(row: pd.Series, value: str, low: str, high: str) -> str:
    if row[value] == "":
        return "-"
    if row[low] == "":
        return _short(row[value])
    return f"{_short(row[value])} ({_short(row[low])} to {_short(row[high])})"


def _short(value: str | float) -> str:
    return "-" if value == "" else f"{float(value):.3f}".replace("0.", ".", 1)


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
