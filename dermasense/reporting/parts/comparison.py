"""Several tables side by side, and which differences could be chance."""

from collections.abc import Sequence

from dermasense.reporting.markup import (
    Html,
    breakable,
    difference_cell,
    el,
    joined,
    table,
    value_cell,
)
from dermasense.reporting.parts import Part
from dermasense.reporting.parts.opening import five, title
from dermasense.reporting.subject import Subject
from dermasense.reporting.tables import number


def comparison(subjects: Sequence[Subject], pairs: Sequence[dict]) -> Part:
    """A row a table, then a row a pair: second minus first."""
    keys = [*five(subjects[0].metrics), "nll", "ece"]
    titles = [title(key) for key in keys]
    rows = [
        [
            breakable(f"{each.name} (leaky)" if each.leaky else each.name),
            _counts(each.metrics),
            *[value_cell(each.metrics[key]) for key in keys],
        ]
        for each in subjects
    ]
    beside = table(
        ["", "n (groups)", *titles],
        rows,
        caption="Each table by itself, with 95 % intervals over groups: lesions or patients.",
    )
    compared = [pair for pair in pairs if "differences" in pair]
    left_out = [
        el("p", f"{each['second']} against {each['first']}: not compared; {each['not_compared']}.")
        for each in pairs
        if "not_compared" in each
    ]
    tested = [differences(compared)] if compared else []
    return Part("Side by side", joined([beside, *tested, *left_out]))


def differences(pairs: Sequence[dict]) -> Html:
    """A column a pair: paired differences with their intervals, and the tests.

    Args:
        pairs: of :func:`dermasense.evaluation.judge.compare`, at least one.
    """
    rows = [["images (groups)", *[_counts(pair) for pair in pairs]]]
    for key in pairs[0]["differences"]:
        rows.append(
            [title(key), *[difference_cell(pair["differences"].get(key)) for pair in pairs]]
        )
    rows.append(["top-1: McNemar's p", *[_p(pair["mcnemar"]) for pair in pairs]])
    if any(pair["delong"] for pair in pairs):
        rows.append(["malignant AUROC: DeLong's p", *[_p(pair["delong"]) for pair in pairs]])
    level = 100 * pairs[0]["level"]
    several = len(pairs) > 1
    corrected = f" Intervals hold together over all pairs (each at {level:.4g} %); p is Holm's."
    caption = (
        "Paired differences on the same images, by Student's t with standard errors by bootstrap "
        "over groups. A star marks an interval that excludes 0."
        f"{corrected if several else ''} McNemar's test asks whether both are right equally often, "
        "DeLong's whether both tell malignant from benign equally well: a small p says no. NLL and "
        "ECE: lower is better."
    )
    head = ["", *[breakable(f"{pair['second']} minus {pair['first']}") for pair in pairs]]
    return table(head, rows, caption=caption)


def _counts(row: dict) -> str:
    return f"{row['n']:,} ({row['n_groups']:,})"


def _p(test: dict | None) -> str:
    if test is None or test["p_holm"] is None:
        return number(None)
    return "< .001" if test["p_holm"] < 0.001 else f"{test['p_holm']:.3f}"
