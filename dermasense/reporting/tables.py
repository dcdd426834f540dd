"""Tables in plain text, for the terminal and the run folder: no number without its n."""

from collections.abc import Mapping, Sequence

from dermasense.evaluation.protocol import GROUPED, is_leaky

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
LEAKY_MEANS = "; images of one lesion stand in training and in test: these numbers are too high"


def final_table(
    splits: Mapping[str, Mapping],
    blind: Mapping[str, Mapping] | None = None,
    *,
    notes: Sequence[str] = (),
    groups: str = "group",
) -> str:
    """The table that a run ends with: one row a split, and answers that look at no picture.

    Args:
        splits: name of a split -> its metrics, as `summarise` returns them.
        blind: name -> metrics of the trivial baselines.
        notes: what must be said wherever the numbers are shown ("synthetic images: ...").
        groups: what does not stand in two splits of a grouped protocol.

    Returns:
        Lines without a last newline. A row of a leaky protocol says so in its name, and the line
        on the protocol above the table says what that means. Metrics that are not defined are "-".
    """
    rows = [[_named(name, row), *_cells(row)] for name, row in splits.items()]
    rows += [[name, *_cells(row)] for name, row in (blind or {}).items()]
    table = f"{_protocol(splits, groups)}\n\n{aligned(['', *COLUMNS.values()], rows)}"
    return "\n\n".join([table, *[f"note: {note}" for note in notes]])


def class_table(metrics: Mapping, title: str = "class") -> str:
    """Precision, recall and F1 of every class of one split with its n, rarest last."""
    classes = sorted(metrics["per_class"].items(), key=lambda item: -item[1]["n"])
    rows = [
        [name, str(row["n"]), *(number(row[key]) for key in ("precision", "recall", "f1"))]
        for name, row in classes
    ]
    return aligned([_named(title, metrics), "n", "precision", "recall", "F1"], rows)


def interval_table(tables: Mapping[str, Mapping]) -> str:
    """One line a metric and table with its 95 % interval, as `judge` gives them.

    Args:
        tables: name of a table -> its metrics.
    """
    rows = [
        [COLUMNS[key], _named(name, row), *_with_interval(row[key]), str(row[key]["n"])]
        for key in COLUMNS
        if not key.startswith("n_") and key != "n"
        for name, row in tables.items()
    ]
    head = ["", "table", "value", "low", "high", "n"]
    return f"{_protocol(tables)}\n\n{aligned(head, rows, left=(0, 1))}"


def sweep_table(
    trials: Sequence[Mapping], *, metrics: Sequence[str] = (), notes: Sequence[str] = ()
) -> str:
    """One line a trial of a sweep, in the order given.

    Args:
        trials: mappings with `trial` (its name), `overrides` (option -> value), `status` and
            `reason` (where it did not finish), and where known `monitor` (name of the metric that
            picked its best weights), `best_score`, `protocol`, and metrics by name.
        metrics: names of further metrics to show; give an n among them. `val_` is left off heads.
        notes: what must be said beside the numbers.

    Returns:
        Lines; a trial that did not finish says why.
    """
    shown = ["best_score", *metrics]
    heads = [name.removeprefix("val_") for name in shown]
    rows = [
        [
            str(trial["trial"]),
            str(trial.get("monitor", NOT_DEFINED)),
            *[number(trial.get(name)) for name in shown],
            str(trial.get("protocol", NOT_DEFINED)),
            _options(trial),
        ]
        for trial in trials
    ]
    head = ["trial", "monitor", *heads, "protocol", "options"]
    table = aligned(head, rows, left=(0, 1, len(head) - 2, len(head) - 1))
    lines = [f"note: {note}" for note in notes]
    if any(is_leaky(trial.get("protocol", "")) for trial in trials):
        lines.append(f"note: leaky{LEAKY_MEANS}")
    return "\n".join([table, *(["", *lines] if lines else [])])


def number(value: float | None, decimals: int = 3, *, sign: bool = False) -> str:
    """Three decimals, a count as it is; "-" where there is nothing to show.

    Args:
        sign: of a difference: +0.012. What rounds to nothing has none, and never a minus.
    """
    if value is None or value != value:
        return NOT_DEFINED
    if isinstance(value, int):
        return str(value)
    shown = f"{value:{'+' if sign else ''}.{decimals}f}"
    return shown if float(shown) else shown.lstrip("+-")


def ends(metric: Mapping | None, decimals: int = 3) -> str:
    """The interval of a metric, "0.790 to 0.834"; says so where there is none."""
    if not metric or metric["value"] is None:
        return "not defined"
    if metric["low"] is None:
        return "no interval"
    return f"{number(metric['low'], decimals)} to {number(metric['high'], decimals)}"


def with_ends(metric: Mapping | None, *, sign: bool = False) -> str:
    """A number with its interval, "0.812 (0.790 to 0.834)"; `sign` as in `number`."""
    if not metric or metric["value"] is None:
        return NOT_DEFINED
    return f"{number(metric['value'], sign=sign)} ({ends(metric)})"


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


def _with_interval(metric: Mapping) -> list[str]:
    return [number(metric[end]) for end in ("value", "low", "high")]


def _cells(row: Mapping) -> list[str]:
    return [number(row.get(key)) for key in COLUMNS]


def _named(name: str, row: Mapping) -> str:
    return f"{name} (leaky)" if is_leaky(row["protocol"]) else name


def _options(trial: Mapping) -> str:
    words = " ".join(f"{key}={value}" for key, value in trial.get("overrides", {}).items())
    if trial["status"] == "finished":
        return words
    reason = f": {trial['reason']}" if trial["reason"] else ""
    return f"{words} [{trial['status']}{reason}]"


def _protocol(splits: Mapping[str, Mapping], groups: str = "group") -> str:
    words = list(dict.fromkeys(row["protocol"] for row in splits.values()))
    line = f"protocol: {', '.join(words)}"
    if any(map(is_leaky, words)):
        line += LEAKY_MEANS
    elif words == [GROUPED]:
        line += f"; no {groups} stands in two splits"
    return line
