"""Writes the tables and sentences of docs/originals.md from benchmarks/results.

    python benchmarks/originals_page.py

A test holds the page to what this gives. The published figures are those of the originals' own
reports (`dermasense/reporting/published.json`, and the classes below).
"""

import numpy as np
import pandas as pd
from label_efficiency import NAMES
from marked import RESULTS, counted, markdown, short, table_of, with_interval, write_page
from scipy.optimize import brentq
from scipy.special import log_softmax

from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions, read_predictions

TOP1, TOP2, LOSS = 0.7119, 0.9088, 0.0896  # b1_se, as reported
GAMMA, ALPHA = 2.0, 0.25
TEMPERATURES = (0.5, 1.0, 2.0, 3.0)
CONDITIONS = {  # b4_weighted, as reported: the best three and the worst three
    "folliculitis": 0.87,
    "dyshidrotic-eczema": 0.86,
    "kaposi-sarcoma": 0.83,
    "acne": 0.64,
    "seborrheic-keratosis": 0.52,
    "actinic-keratosis": 0.45,
}
REPORTED = {"top1": 0.619, "macro_f1": 0.64, "micro_f1": 0.62, "kappa": 0.61}
FOCAL = "predictions/b1_se_lite_group_1bedbb3f.parquet"


def beside_baselines() -> str:
    """b1_se's claims beside answers that look at no picture, and what stands here."""
    rows = [["b1_se, *as reported* (image-level split)", short(str(TOP1)), short(str(TOP2)), *"--"]]
    table = table_of("ham10000_oof")
    for _, row in table.iterrows():
        if row["base"] == "":
            partial = f", partial: {row['folds']} of 5 folds" if row["folds"] != "5" else ""
            shown = (with_interval(row, name) for name in ("top1", "top2", *list(NAMES)[1:]))
            about = f"`{row['system']}`: {row['about']} ({int(row['n']):,} images{partial})"
            rows.append([about, *shown])
    return markdown(["", "top-1", "top-2", "balanced accuracy", "macro-F1"], rows)


def focal_loss(table: Predictions) -> float:
    """Mean focal loss of a table, -alpha (1 - p)^gamma log p of the true class."""
    logp = log_softmax(table.logits.astype(float), axis=1)[np.arange(len(table)), table.labels]
    return float((-ALPHA * (1 - np.exp(logp)) ** GAMMA * logp).mean())


def focal_arithmetic() -> str:
    """Which probability of the true class gives the reported loss."""
    p = brentq(lambda p: -ALPHA * (1 - p) ** GAMMA * np.log(p) - LOSS, 1e-3, 0.99)
    return (
        f"Focal loss with gamma {GAMMA:g} and alpha {ALPHA:g} is {LOSS} where the true class gets "
        f"a probability of {p:.2f}: cross-entropy calls the same answer {-np.log(p):.2f}. A small "
        "focal loss is small by its factors, not by good probabilities."
    )


def focal_table() -> str:
    """The same answers made more or less sure: focal loss, NLL and ECE."""
    table = read_predictions(RESULTS / FOCAL)
    rows = []
    for temperature in TEMPERATURES:
        one = table.with_logits(table.logits / temperature)
        found = summarise(one, split_protocol="grouped")
        rows.append([
            f"{temperature:g}", f"{focal_loss(one):.4f}",
            *(short(str(found[name])) for name in ("nll", "ece", "top1")),
        ])  # fmt: skip
    return markdown(["logits divided by", "focal loss", "NLL", "ECE", "top-1"], rows) + (
        f"\n\n`b1_se_lite`, grouped test split, {len(table):,} images of {table.n_groups:,} "
        "lesions."
    )


def leak() -> str:
    """What photographs of the test lesions add."""
    table = table_of("leak")
    if table.empty:
        return "Not measured yet."
    rows = [
        [
            f"{row['model']} on {row['network']}",
            f"{100 * float(row['share']):.0f} %",
            *(f"{short(row[f'{m}_honest'])} / {short(row[f'{m}_leaky'])}" for m in NAMES),
            *(with_interval(row, f"{m}_gain", signed=True) for m in NAMES),
        ]
        for _, row in table.iterrows()
    ]
    head = [
        "model",
        "test lesions given away",
        *(f"{each}, honest / leaky" for each in NAMES.values()),
    ]
    first = table.iloc[0]
    note = (
        f"{int(first['n']):,} answers on photographs of {int(first['n_groups']):,} lesions, "
        f"{first['seeds']} draws, {int(first['train_images']):,} training images in either arm. In "
        f"an image-level split into five {100 * float(first['share_in_image_split']):.0f} % of the "
        "test images share a lesion with the training set."
    )
    return markdown([*head, *(f"{each}, leaky minus honest" for each in NAMES.values())], rows) + (
        f"\n\n{note}"
    )


def factors() -> str:
    """One factor at a time: SMOTE, focal loss, head, unfreezing."""
    balance, own = table_of("balance"), table_of("originals")
    rows = []
    for said, table, name, base in (
        ("pixel SMOTE, against no balancing", balance, "smote", "none"),
        ("pixel SMOTE, against class weights", balance, "smote", "class_weights"),
        ("focal loss, against cross-entropy", balance, "focal", "none"),
        ("one linear layer, against the squeeze-excite head", own, "linear_head", "frozen"),
        ("15, 25, 35 layers unfrozen, against frozen", own, "unfrozen", "frozen"),
    ):
        found = (
            table[(table.iloc[:, 1] == name) & (table["seed"] == "all")] if len(table) else table
        )
        found = found[found["base"] == base] if len(found) else found
        if not len(found):
            rows.append([said, *["not measured yet"] * 4])
            continue
        row = found.iloc[0]
        shown = [with_interval(row, f"{m}_gain", signed=True) for m in (*NAMES, "ece")]
        rows.append([said, *shown])
    first = balance.iloc[0]
    return markdown(["what changes", *NAMES.values(), "ECE"], rows) + (
        f"\n\nTest split of {int(first['n']):,} images of {int(first['n_groups']):,} lesions, mean "
        f"of {balance.loc[balance['seed'] != 'all', 'seed'].nunique()} seeds, 95 % intervals."
    )


def conditions() -> str:
    """b4_weighted's claims beside the out-of-fold figures."""
    table = table_of("fitzpatrick21_oof")
    if table.empty:
        return "Not measured yet."
    head = ["", "top-1", "macro-F1", "micro-F1", "kappa", "weighted F1"]
    rows = [["b4_weighted, *as reported*", *(short(str(v)) for v in REPORTED.values()), "-"]]
    rows += [
        [f"`{row['system']}`: {row['about']}"]
        + [with_interval(row, name) for name in (*REPORTED, "weighted_f1")]
        for _, row in table.iterrows()
    ]
    return markdown(head, rows)


def condition_classes() -> str:
    """Class by class."""
    table = table_of("fitzpatrick21_parts")
    if table.empty:
        return "Not measured yet."
    rows = []
    for _, row in table[table["part"] == "class"].iterrows():
        name = row["value"]
        shown = [with_interval(row, kind) for kind in ("recall", "f1")]
        reported = short(str(CONDITIONS[name])) if name in CONDITIONS else "-"
        rows.append([name, f"{row['n']} ({row['n_groups']})", *shown, reported])
    head = ["condition", "images (groups)", "recall", "F1", "reported"]
    return f"{markdown(head, rows)}\n\n{_judged(table)}"


def skin_types() -> str:
    """By skin type of either annotation."""
    table = table_of("fitzpatrick21_parts")
    if table.empty:
        return "Not measured yet."
    rows = [
        [row["part"], row["value"], counted(row)]
        + [with_interval(row, name) for name in ("top1", "balanced_accuracy", "weighted_f1")]
        for _, row in table[table["part"] != "class"].iterrows()
    ]
    head = ["annotation", "type", "images (groups)", "top-1", "balanced accuracy", "weighted F1"]
    return f"{markdown(head, rows)}\n\n{_judged(table)}"


def _judged(table: pd.DataFrame) -> str:
    return f"Of `{table.iloc[0]['system']}`, out of fold."


PARTS = {
    "baselines": beside_baselines,
    "focal": focal_arithmetic,
    "focal_table": focal_table,
    "leak": leak,
    "factors": factors,
    "conditions": conditions,
    "classes": condition_classes,
    "skin_types": skin_types,
}


def main() -> None:
    write_page("originals", PARTS)


if __name__ == "__main__":
    main()
