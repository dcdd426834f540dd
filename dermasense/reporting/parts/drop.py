"""The external row beside the internal one, and how much was lost on the way."""

from collections.abc import Mapping

from dermasense.evaluation.judge import COMPARED
from dermasense.evaluation.scores import MEANS_OVER_CLASSES
from dermasense.reporting.markup import Html, difference_cell, joined, table, value_cell
from dermasense.reporting.parts import Part
from dermasense.reporting.parts.opening import title


def drop(external: Mapping, internal: Mapping, change: Mapping[str, Mapping]) -> Part:
    """A row a test set, then the difference with its interval.

    Args:
        external, internal: metrics as `judge` gives them, with `name`.
        change: external minus internal, metric -> interval as a dict.
    """
    head = ["", *[f"{each['name']}, n = {each['n']:,}" for each in (external, internal)]]
    rows = [
        [
            title(key),
            *[value_cell(each[key]) for each in (external, internal)],
            difference_cell(change[key]),
        ]
        for key in COMPARED
        if key in change
    ]
    caption = (
        "The same model on the external images and on the internal test, and the first minus the "
        "second. Intervals: 95 %, groups of each set drawn on their own; of differences, by "
        "Student's t with those standard errors. A star marks a difference "
        "whose interval excludes 0."
    )
    if not set(MEANS_OVER_CLASSES) & set(change):
        caption += (
            " The two sets do not hold images of the same classes, so their means over classes "
            "(balanced accuracy, macro-F1, AUROC) are not subtracted."
        )
    whole = table([*head, "difference"], rows, caption=caption)
    return Part("Beside the internal test", joined([whole, _by_class(external, internal, change)]))


def _by_class(external: Mapping, internal: Mapping, change: Mapping[str, Mapping]) -> Html:
    rows = []
    for name in external["class_names"]:
        cells = []
        for each in (external, internal):
            own = each["per_class"][name]
            share = f"{own['n']:,} ({100 * own['n'] / each['n']:.1f} %)"
            cells += [share, value_cell(own["recall"])]
        rows.append([name, *cells, difference_cell(change.get(f"recall/{name}"))])
    head = ["class"]
    for each in (external, internal):
        head += [f"{each['name']}: n (share)", "recall"]
    caption = (
        "Recall of each class. Accuracy also moves with the shares of the classes; recalls, "
        "balanced accuracy and AUROC move less with them. Of several classes one will exclude 0 "
        "by chance now and then: the intervals are not corrected for their number."
    )
    return table([*head, "difference"], rows, caption=caption)
