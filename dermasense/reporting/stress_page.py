"""stress.html: what spoilt pictures cost a model, and what is left of it without the lesion."""

from collections.abc import Mapping
from pathlib import Path

from dermasense.reporting.drawing import BLUE, GREY, VERMILION, Plot
from dermasense.reporting.markup import (
    Html,
    count,
    difference_cell,
    el,
    joined,
    table,
    value_cell,
)
from dermasense.reporting.page import write_page
from dermasense.reporting.parts import Part
from dermasense.reporting.tables import ends, number

TITLES = {"top1": "Top-1 accuracy", "balanced_accuracy": "Balanced accuracy"}
_DASH = "6 3"
_SIZE = (300, 230)  # three in a row of the page
_ALL = "lesion_to_skin lesion_black box_black box70_black background_to_skin".split()
OCCLUDED = dict(
    zip(
        _ALL,
        (
            "lesion painted in skin colour",
            "lesion black",
            "box around the lesion black",
            "box of 70 % of the picture black",
            "only the lesion left",
        ),
        strict=True,
    )
)


def write_stress(path: Path, stress: Mapping) -> Path:
    """Write the page.

    Args:
        path: the HTML file; drawings go into `figures` beside it.
        stress: as stress.json holds it.
    """
    parts = {}
    if stress["corruptions"]:
        parts["curves"] = _curves(stress)
        parts["numbers"] = _numbers(stress)
    if stress["occlusions"]:
        parts["shortcuts"] = _shortcuts(stress)
    how = stress["intervals"]
    notes = [
        f"Intervals: 95 %, {how['method']}, {how['resamples']:,} resamples, seed {how['seed']}. "
        "Differences are paired: the same images, clean and spoilt. Spoilt pictures are drawn by a "
        "program; a real camera that is out of focus does more than blur."
    ]
    title = f"Stress test of {stress['model']} on {stress['data']}"
    return write_page(path, title, _opening(stress), parts, notes, path.parent / "figures")


def _opening(stress: Mapping) -> Html:
    clean, base = stress["clean"], stress["baseline"]
    words = (
        f"{stress['about']} {count(stress['n'], 'image')} of {count(stress['n_groups'], 'group')} "
        f"({stress['protocol']}), each answered as it is and under "
        f"{count(stress['conditions'] - 1, 'condition')}. Always answering {base['answer']} would "
        f"be right on {100 * base['top1']:.1f} %, with a balanced accuracy of "
        f"{number(base['balanced_accuracy'])}."
    )
    cards = [
        el(
            "li",
            el("span", f"{TITLES[key]}, clean"),
            el("b", number(clean[key]["value"])),
            el("small", f"95 %: {ends(clean[key])}"),
            el("small", f"n = {count(stress['n'], 'image')}"),
        )
        for key in TITLES
    ]
    worst = _worst(stress)
    if worst:
        cards.append(
            el(
                "li",
                el("span", f"Worst: {_words(worst[0])}, strength {worst[1]['strength']}"),
                el("b", number(worst[1]["top1"]["value"])),
                el("small", f"95 %: {ends(worst[1]['top1'])}"),
                el("small", "top-1 accuracy"),
            )
        )
    noted = [el("p", stress["note"], cls="warning")] if stress["note"] else []
    return joined([el("p", words), *noted, el("ul", *cards, cls="cards")])


def _worst(stress: Mapping) -> tuple[str, Mapping] | None:
    rows = [(name, row) for name, each in stress["corruptions"].items() for row in each["rows"]]
    return min(rows, key=lambda pair: pair[1]["top1"]["value"]) if rows else None


def _curves(stress: Mapping) -> Part:
    figures = {name: _plot(name, each, stress) for name, each in stress["corruptions"].items()}
    key = el(
        "p",
        el("b", "Blue, full line: ", style=f"color:{BLUE}"),
        "top-1 accuracy. ",
        el("b", "Red, dashed: ", style=f"color:{VERMILION}"),
        "balanced accuracy. Pale bands: 95 % intervals. ",
        f"Grey, dotted: accuracy of always answering {stress['baseline']['answer']}. "
        "Strength 0 is the clean picture.",
    )
    drawings = [
        el(
            "figure",
            Html(svg),
            el("figcaption", stress["corruptions"][name]["does"]),
            style=f"width: {_SIZE[0]}px",
        )
        for name, svg in figures.items()
    ]
    return Part(
        "What each spoiling costs", joined([key, el("div", *drawings, cls="plots")]), figures
    )


def _plot(name: str, each: Mapping, stress: Mapping) -> str:
    rows = [stress["clean"], *each["rows"]]
    xs = list(range(len(rows)))
    last = rows[-1]
    alt = (
        f"{_words(name)}: top-1 accuracy falls from {number(rows[0]['top1']['value'])} to "
        f"{number(last['top1']['value'])} at strength {xs[-1]}, balanced accuracy from "
        f"{number(rows[0]['balanced_accuracy']['value'])} to "
        f"{number(last['balanced_accuracy']['value'])}."
    )
    plot = Plot(
        alt,
        size=_SIZE,
        x=(0, xs[-1]),
        xticks=xs,
        xlabel="strength",
        title=[_words(name)],
    )
    base = stress["baseline"]["top1"]
    plot.line([0, xs[-1]], [base, base], GREY, dash="2 3", width=1)
    for metric, colour, dash in (("top1", BLUE, ""), ("balanced_accuracy", VERMILION, _DASH)):
        known = [(x, row[metric]) for x, row in zip(xs, rows, strict=True)]
        banded = [(x, m) for x, m in known if m["low"] is not None]
        if banded:
            plot.band(
                [x for x, _ in banded],
                [m["low"] for _, m in banded],
                [m["high"] for _, m in banded],
                colour,
            )
        plot.line(xs, [m["value"] for _, m in known], colour, dash=dash, dots=True)
    return plot.svg()


def _numbers(stress: Mapping) -> Part:
    head = ["", "strength", *TITLES.values(), "change, top-1", "change, balanced", "other answers"]
    head.append(f"{stress['baseline']['answer']} answered")
    rows = [
        [
            _words(name) if row["strength"] == 1 else "",
            str(row["strength"]),
            *[value_cell(row[metric]) for metric in TITLES],
            *[difference_cell(row[metric]["change"]) for metric in TITLES],
            *[f"{100 * row[key]:.0f} %" for key in ("changed", "answered_majority")],
        ]
        for name, each in stress["corruptions"].items()
        for row in each["rows"]
    ]
    caption = (
        f"n = {stress['n']:,} images of {stress['n_groups']:,} groups in every row. Change: "
        "from the clean pictures, paired; a star marks a difference whose interval excludes 0 "
        "(of so many rows some do by chance). Other answers: share of images answered differently. "
        f"{stress['baseline']['answer']} answered: on "
        f"{100 * stress['clean']['answered_majority']:.0f} % of the clean pictures."
    )
    return Part("Numbers", table(head, rows, caption=caption))


def _shortcuts(stress: Mapping) -> Part:
    base = stress["baseline"]
    found = stress["segmentation"]
    head = ["", *TITLES.values(), "kept, top-1", "kept, balanced"]
    rows = [["clean", *[value_cell(stress["clean"][key]) for key in TITLES], "1", "1"]]
    for name, row in stress["occlusions"].items():
        kept = [_share(row[key]["kept"]) for key in TITLES]
        rows.append([OCCLUDED[name], *[value_cell(row[key]) for key in TITLES], *kept])
    rows.append([f"always {base['answer']}", *[number(base[key]) for key in TITLES], "0", "0"])
    caption = (
        f"n = {stress['n']:,} images of {stress['n_groups']:,} groups. Kept: the share of what the "
        "clean score has above the blind answer; 0 is no better than blind, less is worse. What is "
        "kept without the lesion comes from elsewhere: the skin, hairs, rulers, the lens, the "
        "place and size of what is hidden."
    )
    quality = found["synthetic"]
    how = (
        "The lesion is found by a rule (distance to the colour of the rim, Otsu's threshold). On "
        f"{quality['n']} drawn lesions, whose place is known, its intersection over union is "
        f"{number(quality['iou']['value'], 2)} ({ends(quality['iou'], 2)}), above .5 for "
        f"{100 * quality['above_half']:.0f} %, and with the margin used here it covers "
        f"{100 * quality['covered']['value']:.1f} % of the lesion. Drawn lesions are easier than "
        f"real ones. {_missed(found['found'], stress['n'])} Pictures with a black patch are unlike "
        "any in training, so a low score under one is not proof that the model looks at the "
        "lesion; a high one is proof that it looks elsewhere too."
    )
    return Part("Without the lesion", joined([table(head, rows, caption=caption), el("p", how)]))


def _missed(found: float, n: int) -> str:
    missed = round((1 - found) * n)
    if not missed:
        return "On these images it always found something."
    where = count(missed, "image")
    return f"On {where} of these it found nothing; there a disc in the middle is taken."


def _words(name: str) -> str:
    return {"jpeg": "JPEG"}.get(name, name.replace("_", " ").capitalize())


def _share(metric: Mapping | None) -> Html | str:
    return number(None) if metric is None else value_cell(metric)
