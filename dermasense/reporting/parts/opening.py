"""The opening: what was trained on what, the split, five numbers beside what they must beat."""

import json
from pathlib import Path

from dermasense.reporting.markup import Html, count, el, joined, table, value_cell
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject
from dermasense.reporting.tables import ends, number

DEVICE = "This is research software, not a medical device. It must not be used to diagnose."
NAMES = {
    "top1": ("Top-1 accuracy", "its first answer is right"),
    "top2": ("Top-2 accuracy", "right among its first two answers"),
    "balanced_accuracy": ("Balanced accuracy", "mean recall over the classes"),
    "macro_f1": ("Macro-F1", "mean over classes of F1: recall and precision in one"),
    "auroc_macro": ("AUROC", "mean over classes, each against the rest"),
    "kappa": ("Cohen's kappa", "agreement beyond chance"),
}
_SHORT = {"nll": "NLL", "ece": "ECE"}
_PARTS = {"test": " of its test part", "val": " of its validation part, by which it was chosen"}
PUBLISHED = Path(__file__).resolve().parent.parent / "published.json"


def opening(subject: Subject) -> Html:
    """Sentences, warnings and cards: what a reader of ten seconds must see."""
    metrics = subject.metrics
    cards = [_card(subject, key) for key in five(metrics)]
    return joined(
        [
            el("p", _what(subject)),
            *[el("p", words, cls="warning") for words in _warnings(subject)],
            el("ul", *cards, cls="cards"),
            el("p", _plainly(subject)),
        ]
    )


def beside(subject: Subject) -> Part:
    """The model's row beside blind answers and published numbers."""
    metrics = subject.metrics
    keys = five(metrics)
    head = ["", "n", *[title(key) for key in keys]]
    first = ["this model", f"{metrics['n']:,}", *[value_cell(metrics[key]) for key in keys]]
    rows = [first]
    for name, row in metrics["baselines"].items():
        rows.append([f"{name} (blind)", f"{row['n']:,}", *[number(row.get(key)) for key in keys]])
    caption = (
        "The model beside answers that look at no picture. Their shares of classes are those of "
        f"the {metrics['baselines_from']}; the second answer counts for "
        "top-2 only. Below each number: its 95 % interval."
    )
    body = [table(head, rows, caption=caption, ours=True), *_published(subject, keys)]
    return Part("Beside what it must beat", joined(body))


def five(metrics: dict) -> list[str]:
    """The five metrics that a report opens with; with two classes top-2 says nothing."""
    second = "top2" if metrics["top2"]["value"] is not None else "kappa"
    return ["top1", second, "balanced_accuracy", "macro_f1", "auroc_macro"]


def title(key: str) -> str:
    """What a metric is called in a table."""
    return NAMES[key][0] if key in NAMES else _SHORT[key]


def _what(subject: Subject) -> str:
    metrics, origin = subject.metrics, subject.origin
    judged = f"{count(metrics['n'], 'image')} of {count(metrics['n_groups'], subject.groups_are)}"
    classes = count(len(metrics["class_names"]), "class", "classes")
    if origin is None and subject.about:
        return f"{subject.about} Judged on {judged} in {classes}. Split: {metrics['protocol']}."
    if origin is None:
        return (
            f"A table of predictions of {judged} (lesions or patients) in {classes}. Nothing "
            "in it says what model made it or what that was trained on. "
            f"Split: {metrics['protocol']}."
        )
    model, head = origin.settings["model"], origin.settings["head"]
    training = origin.training
    learnt = (
        f"{count(training['n'], 'image')} of {count(training['n_groups'], subject.groups_are)}"
        if training
        else "images"
    )
    return (
        f"{model['backbone']} with the head {head['name']}, at {model['image_size']} px, trained "
        f"on {learnt} of {origin.dataset} in {classes}; judged on {judged}"
        f"{_PARTS.get(subject.part, '')}. Split: {_split(metrics['protocol'], subject.groups_are)}"
    )


def _split(protocol: str, group: str) -> str:
    if protocol == "grouped":
        return f"grouped, so that no {group} stands in two parts."
    return f"{protocol}."


def _warnings(subject: Subject) -> list[str]:
    warnings = []
    if subject.leaky:
        warnings.append(
            f"Leaky split: images of one {subject.groups_are} stand in training and here. The "
            f"numbers in this report are too high for a {subject.groups_are} it has not seen."
        )
    if subject.metrics["note"]:
        warnings.append(subject.metrics["note"][0].upper() + subject.metrics["note"][1:])
    absent = [name for name, row in subject.metrics["per_class"].items() if row["n"] == 0]
    if absent:
        warnings.append(
            f"There are no images of {', '.join(absent)} here: what needs one is not defined. "
            "Balanced accuracy and AUROC are means over the other classes; in macro-F1 an absent "
            "class that is answered all the same counts 0."
        )
    return warnings


def _card(subject: Subject, key: str) -> Html:
    metric = subject.metrics[key]
    title, meaning = NAMES[key]
    value = number(metric["value"]) if metric["value"] is not None else "not defined"
    words = f"95 %: {ends(metric)}" if metric["value"] is not None else ""
    n = f"n = {count(metric['n'], 'image')}", count(metric["n_groups"], subject.groups_are)
    parts = [el("small", part) for part in (words, *n, meaning) if part]
    return el("li", el("span", title), el("b", value), *parts)


def _plainly(subject: Subject) -> str:
    metrics = subject.metrics
    blind = next(iter(metrics["baselines"].items()), None)
    if blind is None:
        return "One class leaves nothing to tell apart."
    name = blind[0].partition(",")[0]
    low, share = metrics["top1"]["low"], blind[1]["top1"]
    words = (
        f"In plain words: it is right on {_percent(metrics['top1']['value'])} of these images, and "
        f"“{name}” would be right on {_percent(share)}. "
    )
    if low is None:
        return words + "There are too few groups to say how sure that is."
    if low > share:
        return words + "The whole interval lies above that answer."
    if metrics["top1"]["high"] < share:
        return words + "The whole interval lies below that answer."
    return words + "The interval holds that answer: this model is not shown to be better."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _published(subject: Subject, keys: list[str]) -> list[Html]:
    data = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    known = data.get(subject.origin.dataset) if subject.origin else None
    if known is None:
        return []
    shown = [key for key in keys if any(key in row for row in known["rows"])]
    px = subject.origin.settings["model"]["image_size"]
    ours = f"{subject.metrics['protocol']}; pictures {_resolution(subject)}, input {px} px"
    rows = [[_source("this model", ours), *[number(subject.metrics[k]["value"]) for k in shown]]]
    for row in known["rows"]:
        pictures = row.get("pixels", known["pixels"])
        words = [row["protocol"], f"pictures {pictures}", row.get("more"), row["source"]]
        name = _source(row["name"], "; ".join(word for word in words if word))
        rows.append([name, *[number(row.get(key)) for key in shown]])
    caption = (
        f"Published numbers on {known['title']}, which were not measured here. A row compares only "
        "where protocol and pictures are the same. “Field notes” are numbers that the authors of "
        "this project read in the primary source."
    )
    head = ["", *[NAMES[key][0] for key in shown]]
    return [el("h3", "Published"), table(head, rows, caption=caption, ours=True, wide=True)]


def _source(name: str, words: str) -> Html:
    return joined([name, el("br"), el("small", words)])


def _resolution(subject: Subject) -> str:
    """Size of the first picture at hand: data sets of one publisher mostly have one size."""
    from PIL import Image

    for path in subject.pictures.values():
        try:
            with Image.open(path) as picture:
                return f"{picture.width}x{picture.height} px"
        except OSError:
            continue
    return "of a size that is not known here"
