"""reliability.html: a calibration before and after, in one file without script or network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.protocol import is_leaky
from dermasense.files import write_text
from dermasense.reporting.markup import Html, document, el, figure, table, value_cell
from dermasense.reporting.parts.confidence import reliability_drawings, unsettled
from dermasense.reporting.parts.opening import DEVICE
from dermasense.reporting.tables import aligned, ends, number, with_ends

NAMES = {
    "nll": "NLL",
    "brier": "Brier",
    "ece": "ECE",
    "ece_equal_mass": "ECE, equal mass",
    "top1": "top-1",
    "balanced_accuracy": "bal.acc",
    "macro_f1": "macro-F1",
}
WHEN = ("before", "after", "change")
SHORT = (
    "Sets and alarms that are fitted after it on the same images fall somewhat short of what they "
    "promise; after a temperature they do not."
)
CANNOT = {
    "temperature": (
        "A temperature makes all answers of a model more or less sure by one factor. It changes no "
        "answer and no accuracy. It cannot mend single classes that are predicted too often or too "
        "rarely, as after training on balanced or resampled classes (prior_shift and vector can); "
        "nor a skin type or an age that is answered too surely while others are not; nor images "
        "that differ from those of validation: another camera or clinic needs its own fit."
    ),
    "vector": (
        "Vector scaling moves classes against each other, so answers change. Two numbers a class "
        "are fitted: those of a rare class stand on few images. It cannot mend a skin type or an "
        "age that is answered too surely while others are not, nor images that differ from those "
        "of validation. " + SHORT
    ),
    "prior_shift": (
        "The prior shift moves answers towards the classes that are frequent in validation: "
        "accuracy usually rises, balanced accuracy and the sensitivity for rare classes fall. It "
        "does not make answers more or less sure as a whole (a temperature does), and is right "
        "only where classes are as frequent as in validation. " + SHORT
    ),
}


def write_page(out: Path, result: Mapping[str, Any], test: Predictions, after: Predictions) -> Path:
    """Write reliability.html and reliability_{before,after}.svg into a folder.

    Args:
        out: the folder.
        result: as calibration.json holds it.
        test, after: the table that was judged, as predicted and calibrated.

    Returns:
        The page.
    """
    drawings = []
    for when, each in (("before", test), ("after", after)):
        svg, histogram = reliability_drawings(each, result[when]["ece"]["value"])
        write_text(out / f"reliability_{when}.svg", svg)
        words = f"{when.capitalize()}: ECE {number(result[when]['ece']['value'])}."
        drawings += [figure(svg, words), figure(histogram, f"{when.capitalize()}: confidence.")]
    title = f"Calibration of {result['name']}: {_method(result)}"
    body = [
        el("h1", title),
        el("p", DEVICE, cls="device"),
        *[el("p", words, cls="warning") for words in _warnings(result)],
        el("p", _fitted(result)),
        _scores(result),
        el("h2", "Confidence against accuracy"),
        el(
            "p",
            "Above the dashed line the model is too modest, below it too sure. Whiskers: 95 % "
            "interval of the accuracy in a bin (Wilson, by the groups in it).",
        ),
        el("div", *drawings[0::2], cls="plots"),
        el("div", *drawings[1::2], cls="plots"),
        el("h2", "What is left"),
        el("p", CANNOT[result["fitted"]["name"]]),
        *_left(result),
        el("footer", el("p", el("small", DEVICE))),
    ]
    write_text(out / "reliability.html", document(title, el("main", *body)))
    return out / "reliability.html"


def text_table(result: Mapping[str, Any]) -> str:
    """Before, after and the difference for a terminal, with intervals, n and what is left."""
    rows = [
        [NAMES[key], *[with_ends(result[when][key], sign=when == "change") for when in WHEN]]
        for key in _shown(result)
    ]
    lines = [
        f"protocol: {result['protocol']}",
        _fitted(result),
        "",
        aligned(["", *WHEN], rows, left=(0, 1, 2, 3)),
        _by_chance(result),
        "",
        CANNOT[result["fitted"]["name"]],
    ]
    if result["left"]:
        lines.append("Left on these images (intervals widened for how many were looked at):")
        lines += [f"  {words}" for words in result["left"]]
    return "\n".join(lines + [f"note: {words}" for words in _warnings(result)])


def _scores(result: Mapping[str, Any]) -> Html:
    rows = [
        [NAMES[key], *[value_cell(result[when][key]) for when in ("before", "after")],
         value_cell(result["change"][key], sign=True)]
        for key in _shown(result)
    ]  # fmt: skip
    caption = (
        f"n = {result['n']:,} test images in {result['n_groups']:,} groups, 95 % intervals by "
        "bootstrap over groups; the change is paired. For NLL, Brier and ECE, lower is better. "
        + _by_chance(result)
    )
    return table(["", "before", "after", "change"], rows, caption=caption)


def _by_chance(result: Mapping[str, Any]) -> str:
    found = result["after"]["ece_by_chance"]
    return (
        f"A model whose confidences are all true would show an ECE of {number(found['value'])} "
        f"({ends(found)}) on so many images."
    )


def _shown(result: Mapping[str, Any]) -> list[str]:
    """All scores, or only those of the confidence where no answer changes."""
    changed = result["answers_changed"]["value"] > 0
    return [key for key in NAMES if changed or key in ("nll", "brier", "ece", "ece_equal_mass")]


def _left(result: Mapping[str, Any]) -> list[Html]:
    told = (
        "On these test images the interval excludes 0 for the following, even when it is widened "
        f"for having looked at {len(result['classes'])} classes and {len(result['groups'])} groups "
        "(Bonferroni, within each): a model without fault shows a class in 5 of 100 data sets, and "
        "a group in as many. The intervals of the tables are those of each by itself, 95 %."
    )
    listed = el("ul", *[el("li", words) for words in result["left"]])
    none = el(
        "p",
        "On these test images no class and no group shows a difference by an interval that is "
        "widened for how many were looked at (Bonferroni). Of the 95 % intervals below, each by "
        "itself, some may exclude 0 by chance.",
    )
    parts = [el("p", told), listed] if result["left"] else [none]
    for key, caption in (
        ("classes", "Mean predicted probability minus share of the class; 0 is right."),
        ("groups", "Mean confidence minus accuracy; above 0 is too sure."),
    ):
        rows = [
            [
                name,
                f"{each['n']:,}",
                *[value_cell(each[when], sign=True) for when in ("before", "after")],
            ]
            for name, each in result[key].items()
        ]
        if rows:
            parts.append(table([key, "n", "before", "after"], rows, caption=caption))
    return parts


def _method(result: Mapping[str, Any]) -> str:
    name = result["fitted"]["name"].replace("_", " ")
    value = result["fitted"].get("value")
    return name if value is None else f"{name} {value:.3f}"


def _fitted(result: Mapping[str, Any]) -> str:
    on, changed = result["fitted_on"], result["answers_changed"]["value"]
    return (
        f"{_method(result)}, fitted on {on['n']:,} validation images ({on['n_groups']:,} groups), "
        f"judged on {result['n']:,} test images ({result['n_groups']:,} groups); it changes "
        f"{100 * changed:.1f} % of the answers."
    )


def _warnings(result: Mapping[str, Any]) -> list[str]:
    words = [result["note"]] if result["note"] else []
    if is_leaky(result["protocol"]):
        words.append("The split is leaky: images of one lesion stand on both sides.")
    if result["fitted"].get("at_bound"):
        words += unsettled([result["fitted"]["value"]])
    if result["fitted"].get("absent"):
        words.append(
            f"Validation has no image of {', '.join(result['fitted']['absent'])}: nothing is "
            "fitted for it, and it keeps, on average, the odds against the others that a "
            "temperature gives it."
        )
    worse = result["change"]["nll"]["low"]
    if worse is not None and worse > 0:
        words.append(
            "On these test images the NLL is worse after than before: validation is small, or "
            "unlike them. Nothing is chosen on test images, so the calibration stands."
        )
    return words
