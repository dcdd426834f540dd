"""What an ensemble is made of, what it gains over its best member, how its members differ."""

from collections.abc import Mapping, Sequence

from dermasense.reporting.markup import Html, el, joined, table, value_cell
from dermasense.reporting.parts import Part
from dermasense.reporting.parts.comparison import differences
from dermasense.reporting.parts.opening import title
from dermasense.reporting.tables import ends, number

_SHOWN = ("top1", "balanced_accuracy", "macro_f1", "auroc_macro", "nll", "ece")


def ensemble(facts: Mapping, metrics: Mapping, pairs: Sequence[dict]) -> Part:
    """Members, gain and diversity.

    Args:
        facts: `ensemble` of its metrics.json.
        metrics: of the ensemble, as `judge` gives them.
        pairs: best member against the ensemble, as `compare` gives them.
    """
    titles = [title(key) for key in _SHOWN]
    rows = [["the ensemble", "", *[value_cell(metrics[key]) for key in _SHOWN]]]
    on = "these images" if facts["folded"] else "validation"
    for member in facts["members"]:
        star = f" (best on {on})" if member["name"] == facts["best_member"] else ""
        weight = number(member["weight"])
        scores = [value_cell(member["judged"].get(key)) for key in _SHOWN]
        rows.append([member["name"] + star, weight, *scores])
    caption = (
        f"Members on the {metrics['n']:,} judged images, with 95 % intervals over groups. Weights: "
        f"{facts['how']}."
    )
    if facts["weights_by_fold"]:
        caption += " Each fold is judged with weights of its own, fitted on the other folds."
    body: list[Html] = [table(["", "weight", *titles], rows, caption=caption, ours=True, wide=True)]
    if facts["candidates"]:
        body.append(_candidates(facts))
    body.append(differences([pair for pair in pairs if "differences" in pair]))
    body.append(_diversity(facts["diversity"]))
    return Part("The ensemble and its members", joined(body))


def _candidates(facts: Mapping) -> Html:
    keys = ("nll", "balanced_accuracy", "macro_f1", "top1")
    titles = [title(key) for key in keys]
    rows = [
        [name + (" (taken)" if name == facts["method"] else ""), f"{row['n']:,}"]
        + [number(row[key]) for key in keys]
        for name, row in facts["candidates"].items()
    ]
    caption = (
        "What each way of weighing does on the images that it was fitted on, so without an "
        "interval. It chooses nothing: the way was named beforehand."
    )
    return table(["", "n", *titles], rows, caption=caption)


def _diversity(rows: Sequence[Mapping]) -> Html:
    cells = [
        [
            f"{row['first']} and {row['second']}",
            f"{row['n']:,}",
            *[_share(row[key]) for key in ("disagreement", "double_fault")],
        ]
        for row in rows
    ]
    caption = (
        "How differently two members answer: the share of images on which their answers differ, "
        "and on which both are wrong, which no average of the two can mend."
    )
    return table(["", "n", "disagreement", "double fault"], cells, caption=caption, wide=True)


def _share(share: Mapping) -> Html:
    return joined([el("span", number(share["value"])), el("br"), el("small", ends(dict(share)))])
