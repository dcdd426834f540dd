"""How well each group of people or places is served, by the attributes of the table."""

from dermasense.reporting.markup import count, el, joined, table, value_cell
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject


def groups(subject: Subject) -> Part | None:
    """A row a value of each attribute; None where the table has no attributes."""
    found = subject.metrics.get("by_attribute", {})
    tables = []
    for name, each in found.items():
        if len(each["values"]) < 2:
            continue
        rows = [
            [value, f"{row['n']:,}", value_cell(row["top1"]), value_cell(row["balanced_accuracy"])]
            for value, row in each["values"].items()
        ]
        left_out = [f"{count(each['unknown'], 'image')} without it"] if each["unknown"] else []
        if each["too_few"]:
            few = count(each["too_few"], "image")
            left_out.append(f"{few} in values of fewer than {each['least']}")
        caption = f"By {name}." + (f" Left out: {', '.join(left_out)}." if left_out else "")
        head = [name, "n", "Top-1 accuracy", "Balanced accuracy"]
        tables.append(table(head, rows, caption=caption))
    if not tables:
        return None
    words = (
        "A gap is a difference only where intervals do not overlap. Groups differ in which classes "
        "they hold, so that a gap is not yet a reason."
    )
    return Part("By group", joined([el("p", words), el("div", *tables, cls="plots")]))
