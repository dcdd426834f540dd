"""How well each group of people or places is served, by the attributes of the table."""

from dermasense.reporting.markup import Html, count, el, joined, table, value_cell
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject
from dermasense.reporting.tables import ends, number

METRICS = {
    "top1": "Top-1 accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "malignant_recall": "Recall of the malignant",
    "ece": "ECE",
    "overconfidence": "Over-confidence",
}


def groups(subject: Subject) -> Part | None:
    """A row a value of each attribute; None where the table has no attributes."""
    found = subject.metrics.get("by_attribute", {})
    shown = {name: each for name, each in found.items() if len(each["values"]) > 1}
    if not shown:
        return None
    body = [
        el(
            "p",
            "The largest of several gaps is above 0 by chance alone. A pair of groups is called "
            "different only where the interval of its difference, corrected for the number of "
            "pairs in its table and column, excludes 0; groups that are not called different "
            "must not be ranked. Groups also differ in which classes they hold, so that a "
            "difference is not yet a reason. An unknown value is never a group.",
        )
    ]
    for name, each in shown.items():
        body += [_table(name, each, subject), *_gaps(each), *_agreement(name, each)]
    body.append(
        el(
            "p",
            "Recall of the malignant is the share of malignant images that are answered with any "
            "malignant class. ECE is biased upwards in small groups, so groups are compared by "
            "over-confidence instead: mean confidence minus accuracy.",
            cls="caption",
        )
    )
    return Part("By group", joined(body))


def _table(name: str, each: dict, subject: Subject) -> Html:
    keys = [key for key in METRICS if any(_defined(row, key) for row in each["values"].values())]
    rows = [
        [value, f"{row['n']:,} ({row['n_groups']:,})", *[_cell(row, key) for key in keys]]
        for value, row in each["values"].items()
    ]
    left_out = [f"{count(each['unknown'], 'image')} without it"] if each["unknown"] else []
    if each["too_few"]:
        few = count(each["too_few"], "image")
        left_out.append(f"{few} of values with fewer than {each['least']} images")
    caption = f"By {name}; n counts images ({subject.groups_are}s in brackets)."
    caption += f" Left out: {', '.join(left_out)}." if left_out else ""
    return table([name, "n", *[METRICS[key] for key in keys]], rows, caption=caption)


def _cell(row: dict, key: str) -> Html:
    """A number with its interval, and with its own n where it is not that of the row."""
    cell = value_cell(row[key])
    if row[key]["n"] == row["n"]:
        return cell
    return joined([cell, el("br"), el("small", f"n {row[key]['n']:,}")])


def _gaps(each: dict) -> list[Html]:
    """A line a metric: the widest gap, its interval, what chance gives, and which pairs differ."""
    lines = [
        el("li", el("b", f"{METRICS[key]}: "), _words(gap))
        for key, gap in each.get("gaps", {}).items()
    ]
    return [el("ul", *lines)] if lines else []


def _words(gap: dict) -> str:
    interval = "no interval"
    if gap["low"] is not None:
        level = f"{100 * gap['level']:.1f}".rstrip("0").rstrip(".")
        interval = f"{ends(gap)} at {level}\u00a0%"
    words = (
        f"widest between {gap['worse']} and {gap['better']}, {number(gap['value'])} ({interval}); "
        f"chance alone gives about {number(gap['by_chance'])}. "
    )
    pairs = [f"{pair['worse']} and {pair['better']}" for pair in gap["differences"]]
    if not pairs:
        return f"{words}No pair differs."
    return f"{words}Different: {'; '.join(pairs)}."


def _agreement(name: str, each: dict) -> list[Html]:
    found = each.get("agreement")
    if not found:
        return []
    return [
        el(
            "p",
            f"{name} and {found['with']} name the same type on {_percent(found['exact'])} of "
            f"{count(found['n'], 'image')}, within one type on {_percent(found['within_one'])}, "
            f"the same band on {_percent(found['same_band'])}. A finding that holds for one "
            "source only is one about the labels.",
        )
    ]


def _percent(share: dict) -> str:
    """A share and its interval, "45 % (40 to 50)"."""
    value, low, high = (100 * share[key] for key in ("value", "low", "high"))
    return f"{value:.0f}\u00a0% ({low:.0f} to {high:.0f})"


def _defined(row: dict, key: str) -> bool:
    return key in row and row[key]["value"] is not None
