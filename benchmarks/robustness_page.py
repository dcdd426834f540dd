"""Writes the tables of docs/robustness.md from benchmarks/results/*.csv.

    python benchmarks/robustness_page.py

A test holds the page to what this gives, so a number there is always one of the tables.
"""

from pathlib import Path

import pandas as pd
from marked import markdown, with_parts

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "robustness.md"
NAMES = {
    "top1": "top-1",
    "top2": "top-2",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auroc_macro": "AUROC",
    "nll": "NLL",
    "ece": "ECE",
}
IN_FULL = "ham_pool_folds"  # the external test that is told metric by metric
OCCLUDED = {
    "lesion_to_skin": "lesion painted in the colour of the skin",
    "lesion_black": "lesion black, its outline stays",
    "box_black": "box around the lesion black",
    "box70_black": "box of 70 % of the picture black",
    "background_to_skin": "only the lesion left",
}


def tta() -> str:
    """Gain of each set of views averaged in log-probability, of the largest in both ways."""
    table = _read("tta")
    shown = (table["average"] == "log") | (table["views"] == "flips+crops")
    rows = []
    for _, row in table[shown & (table["views"] != "none")].iterrows():
        gains = [_change(row, f"{name}_gain") for name in ("top1", "balanced_accuracy", "nll")]
        cost = f"{row['passes']} ({row['time_ratio']})"
        name = f"`{row['experiment']}`"
        rows.append([name, f"`{row['views']}`", row["average"], *gains, cost, row["n"]])
    head = ["model", "views", "average", "top-1", "balanced accuracy", "NLL"]
    return markdown([*head, "passes (time)", "n"], rows)


def external() -> str:
    """A row a model; then one of them in full: external, internal, difference, recalls."""
    keys = ["tested_on", "experiment", "views"]
    models = dict(list(_read("external").groupby(keys, sort=False)))
    shown = ("top1", "balanced_accuracy", "macro_f1", "nll", "ece")
    rows = []
    for (tested_on, name, views), table in models.items():
        of = table.set_index("metric")
        cells = [_cell(of.loc[metric], "external") for metric in shown]
        change = _change(of.loc["balanced_accuracy"], "change")
        n = of.loc["top1", "n"]
        rows.append([f"`{name}`{_averaged(views)}", tested_on, n, *cells, change])
    head = ["model", "judged on", "n", *[NAMES[metric] for metric in shown]]
    parts = [markdown([*head, "balanced accuracy minus internal"], rows)]
    for (tested_on, name, views), table in models.items():
        if name != IN_FULL:
            continue
        rows = []
        for _, row in table.iterrows():
            kind, _, of = row["metric"].partition("/")
            what = f"recall of {of}" if of else NAMES[kind]
            sets = [f"{_cell(row, each)}, n {row[n]}" for each, n in
                    (("external", "n"), ("internal", "n_internal"))]  # fmt: skip
            rows.append([what, *sets, _change(row, "change")])
        head = [f"`{name}`{_averaged(views)}", tested_on, "internal", "difference"]
        parts.append(markdown(head, rows))
    return "\n\n".join(parts)


def _averaged(views: str) -> str:
    return "" if views == "none" else f", {views} averaged"


def stress() -> str:
    """Top-1 and balanced accuracy at the five strengths."""
    table = _read("stress")
    rows = []
    for metric in ("top1", "balanced_accuracy"):
        clean = table[table["kind"] == "clean"].iloc[0]
        for name, part in table[table["kind"] == "corruption"].groupby("condition", sort=False):
            cells = [_star(row, metric) for _, row in part.iterrows()]
            last = _cell(part.iloc[-1], metric).partition(" ")[2]
            what = {"jpeg": "JPEG"}.get(name, name.replace("_", " "))
            rows.append([NAMES[metric], what, _short(clean[metric]), *cells, last])
    head = ["", "spoilt by", "clean", *[str(s) for s in range(1, 6)], "interval at 5"]
    n = table.iloc[0]
    words = (
        f"\nn {n['n']} images of {n['n_groups']} lesions in every cell. Clean: top-1 "
        f"{_cell(clean, 'top1')}, balanced accuracy {_cell(clean, 'balanced_accuracy')}. A star: "
        "the paired difference to the clean pictures excludes 0 (95 %, not corrected)."
    )
    blind = table[table["kind"] == "blind"].iloc[0]["condition"].removeprefix("always ")
    last = table[table["strength"] == "5"]
    fallen = ", ".join(
        f"{row['condition'].replace('_', ' ')} {_short(row['answered_majority'])}"
        for _, row in last.iterrows()
    )
    words += (
        f" {blind} is answered on {_short(clean['answered_majority'])} of the clean pictures; at "
        f"strength 5: {fallen}."
    )
    return markdown(head, rows) + "\n" + words


def shortcuts() -> str:
    """What survives without the lesion."""
    table = _read("stress").set_index("condition")
    rows = [["clean", _cell(table.loc["clean"], "top1"),
             _cell(table.loc["clean"], "balanced_accuracy"), "1", "1"]]  # fmt: skip
    for name, what in OCCLUDED.items():
        row = table.loc[name]
        kept = [_cell(row, f"{metric}_kept") for metric in ("top1", "balanced_accuracy")]
        rows.append([what, _cell(row, "top1"), _cell(row, "balanced_accuracy"), *kept])
    blind = table[table["kind"] == "blind"].iloc[0]
    values = [_short(blind[metric]) for metric in ("top1", "balanced_accuracy")]
    rows.append([blind.name, *values, "0", "0"])
    head = ["picture", "top-1", "balanced accuracy", "kept of top-1", "kept of balanced"]
    return markdown(head, rows) + f"\n\nn {blind['n']} images of {blind['n_groups']} lesions."


def lesion_mask() -> str:
    """How good the segmentation is, in a sentence."""
    table = _read("lesion_mask").set_index("what")
    iou, median = table.loc["IoU, mean"], table.loc["IoU, median"]
    above = table.loc["share of IoU above .5"]
    under = table.loc["lesion under the mask and its margin"]
    found = table.loc["share with a lesion found"]
    missed = round((1 - float(found["value"])) * int(found["n"]))
    return (
        f"On {iou['n']} drawn lesions, whose place is known, its intersection over union is "
        f"{_short(iou['value'])} on average ({_short(iou['low'])} to {_short(iou['high'])}), "
        f"{_short(median['value'])} in the median, above .5 for {_percent(above['value'])}; with "
        f"the margin it covers {_percent(under['value'])} of the lesion. It found something in "
        f"{int(found['n']) - missed} of the {found['n']} test images; elsewhere a disc in the "
        "middle is taken."
    )


TABLES = {
    "tta": tta,
    "external": external,
    "stress": stress,
    "shortcuts": shortcuts,
    "lesion_mask": lesion_mask,
}


def page_with_tables(page: str) -> str:
    """The page with every table between its two comments written anew."""
    return with_parts(page, TABLES)


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"{name}.csv", dtype=str, keep_default_na=False)


def _short(value: str | float) -> str:
    """Three decimals without a leading zero: .820, -.041, 1.000."""
    text = f"{float(value):.3f}"
    text = text.removeprefix("-") if float(text) == 0 else text
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def _signed(value: str) -> str:
    text = _short(value)
    return text if text.startswith("-") or float(text) == 0 else f"+{text}"


def _percent(value: str) -> str:
    return f"{100 * float(value):.1f} %"


def _cell(row: pd.Series, key: str) -> str:
    if row[key] == "":
        return "-"
    if row[f"{key}_low"] == "":
        return f"{_short(row[key])} (no interval)"
    return f"{_short(row[key])} ({_short(row[f'{key}_low'])} to {_short(row[f'{key}_high'])})"


def _change(row: pd.Series, key: str) -> str:
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    if row[key] == "":
        return "-"
    if low == "":
        return f"{_signed(row[key])} (no interval)"
    star = " *" if float(low) > 0 or float(high) < 0 else ""
    return f"{_signed(row[key])} ({_signed(low)} to {_signed(high)}){star}"


def _star(row: pd.Series, metric: str) -> str:
    low, high = row[f"{metric}_change_low"], row[f"{metric}_change_high"]
    star = low != "" and (float(low) > 0 or float(high) < 0)
    return _short(row[metric]) + (" *" if star else "")


def main() -> None:
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
