"""Tables in plain text, for the terminal and the run folder: no number without its n."""

from collections.abc import Mapping, Sequence

from dermasense.evaluation.baselines import baselines

COLUMNS = {
    "n": "n",
    "n_groups": "groups",
    "top1": "top-1",
    "top2": "top-2",
    "balanced_accuracy": "bal.acc",
    "macro_f1": "macro-F1",
    "weighted_f1": "wtd-F1",
    "kappa": "kappa",
    "auroc_macro": "AUROC",
    "nll": "NLL",
    "ece": "ECE",
}
NOT_DEFINED = "-"
SPLITS = {"val": "validation", "test": "test"}
# What a row of a sweep holds beside the options of its trial.
_MADE = ("trial", "status", "reason", "protocol", "seconds", "best_", "val_")


def results_table(metrics: Mapping, labels: Sequence[int], note: str = "") -> str:
    """The table that a run ends with, from its metrics.json.

    Args:
        metrics: summaries under "val" and "test".
        labels: class indices of the test split, shape (N,), for the trivial baselines.
        note: what must be said wherever the numbers are shown ("synthetic images: ...").
    """
    splits = {words: metrics[split] for split, words in SPLITS.items() if split in metrics}
    blind = baselines(labels, metrics["test"]["class_names"])
    whole = final_table(splits, {f"{name}, on test": row for name, row in blind.items()})
    parts = [whole, class_table(metrics["test"], title="class, on test")]
    return "\n\n".join([*parts, f"note: {note}"] if note else parts)


def final_table(splits: Mapping[str, Mapping], blind: Mapping[str, Mapping] | None = None) -> str:
    """One row a split, and the rows of answers that look at no picture.

    Args:
        splits: name of a split -> its metrics, as `summarise` returns them.
        blind: name -> metrics of the trivial baselines.

    Returns:
        Lines without a last newline. A row of a leaky protocol says so in its name, and the line
        on the protocol above the table says what that means. Metrics that are not defined are "-".
    """
    rows = [[_named(name, row), *_cells(row)] for name, row in splits.items()]
    rows += [[name, *_cells(row)] for name, row in (blind or {}).items()]
    return f"{_protocol(splits)}\n\n{aligned(['', *COLUMNS.values()], rows)}"


def class_table(metrics: Mapping, title: str = "class") -> str:
    """Precision, recall and F1 of every class of one split with its n, rarest last."""
    classes = sorted(metrics["per_class"].items(), key=lambda item: -item[1]["n"])
    rows = [
        [name, str(row["n"]), *(number(row[key]) for key in ("precision", "recall", "f1"))]
        for name, row in classes
    ]
    return aligned([_named(title, metrics), "n", "precision", "recall", "F1"], rows)


def sweep_table(rows: Sequence[Mapping]) -> str:
    """One line a trial of a sweep, in the order given.

    Args:
        rows: mappings with `trial`, `status`, `reason`, `best_<monitor>`, metrics of the validation
            split as `val_<metric>`, and the options of the trial under their own names. Rows may
            lack what a failed trial does not have.

    Returns:
        Lines; the n of validation stands in each, and a trial that did not finish says why.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    shown = [k for k in keys if k.startswith("best_")] + [k for k in keys if k.startswith("val_")]
    head = ["trial", *[key.removeprefix("val_") for key in shown], "options"]
    table = [
        [_named(str(row["trial"]), row), *[number(row.get(key)) for key in shown], _options(row)]
        for row in rows
    ]
    return aligned(head, table, left=(0, len(head) - 1))


def is_leaky(metrics: Mapping) -> bool:
    """Whether images of one lesion stand on both sides of the split."""
    return str(metrics.get("protocol", "")).startswith("leaky")


def number(value: float | None, decimals: int = 3) -> str:
    """Three decimals, a count as it is; "-" where there is nothing to show."""
    if value is None or value != value:
        return NOT_DEFINED
    return str(value) if isinstance(value, int) else f"{value:.{decimals}f}"


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Columns under their heads, two spaces apart; those in `left` to the left, others right."""
    table = [list(head), *[list(row) for row in rows]]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:]])


def _cells(row: Mapping) -> list[str]:
    return [number(row.get(key)) for key in COLUMNS]


def _named(name: str, row: Mapping) -> str:
    return f"{name} (leaky)" if is_leaky(row) else name


def _options(row: Mapping) -> str:
    words = " ".join(f"{key}={value}" for key, value in row.items() if not key.startswith(_MADE))
    if row.get("status", "finished") == "finished":
        return words
    reason = f": {row['reason']}" if row.get("reason") else ""
    return f"{words} [{row['status']}{reason}]"


def _protocol(splits: Mapping[str, Mapping]) -> str:
    words = list(dict.fromkeys(str(row["protocol"]) for row in splits.values()))
    line = f"protocol: {', '.join(words)}"
    if any(is_leaky(row) for row in splits.values()):
        line += "; images of one lesion stand in training and in test: these numbers are too high"
    elif words == ["grouped"]:
        line += "; no lesion or near-duplicate stands in two splits"
    return line
