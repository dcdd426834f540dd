"""MODEL_CARD.md of a bundle, with the metadata that Hugging Face reads, from the same tables."""

import re

import yaml

from dermasense.reporting.decided import decided
from dermasense.reporting.markup import count
from dermasense.reporting.parts.opening import five, title
from dermasense.reporting.subject import Subject
from dermasense.reporting.tables import ends, number, with_ends

# Licences by the identifiers of the hub; the images' licence binds the weights learnt from them.
LICENCES = {
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "CC BY-NC-SA 3.0": "cc-by-nc-sa-3.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC0 1.0": "cc0-1.0",
}
# The hub's names of metrics; what it does not know keeps our name.
HUB_METRICS = {"top1": "accuracy", "macro_f1": "f1", "auroc_macro": "roc_auc"}


def model_card(subject: Subject) -> str:
    """The card of the run that `subject` came from, judged on its test table.

    Returns:
        Markdown behind YAML metadata; no path of this machine stands in it.
    """
    parts = [
        f"---\n{yaml.safe_dump(_metadata(subject), sort_keys=False, allow_unicode=True)}---",
        *_what(subject),
        *_use(subject),
        *_data(subject),
        *_numbers(subject),
        *_groups(subject),
        *decided(subject.origin.bundle),
        *_limits(subject),
        *_loading(subject),
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(subject: Subject) -> dict:
    origin, metrics = subject.origin, subject.metrics
    licence = origin.bundle.get("licence", "")
    known = LICENCES.get(licence)
    shown = [key for key in five(metrics) if metrics[key]["value"] is not None]
    results = [
        {
            "type": HUB_METRICS.get(key, key),
            "name": f"{title(key)} (95 % interval {ends(metrics[key])}, n = {metrics['n']})",
            "value": round(metrics[key]["value"], 4),
        }
        for key in shown
    ]
    dataset = {"type": origin.dataset, "name": origin.dataset, "split": "test"}
    return {
        "license": known or "other",
        **({} if known else {"license_name": _slug(licence or "see the data set")}),
        "library_name": "dermasense",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "dermatology", "skin-lesion", "not-a-medical-device"],
        "metrics": [HUB_METRICS.get(key, key) for key in shown],
        "model-index": [
            {
                "name": _name(subject),
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": dataset,
                        "metrics": results,
                    }
                ],
            }
        ],
    }


def _slug(words: str) -> str:
    """Words as the hub wants the name of a licence: lower case, hyphens."""
    return "-".join(re.findall(r"[a-z0-9.]+", words.lower()))


def _name(subject: Subject) -> str:
    return str(subject.origin.settings.get("name", "run"))


def _what(subject: Subject) -> list[str]:
    settings, bundle = subject.origin.settings, subject.origin.bundle
    weights = bundle.get("weights_provenance", {})
    source = weights.get("source") or weights.get("weights", "not recorded")
    classes = ", ".join(subject.metrics["class_names"])
    return [
        f"# {_name(subject)}: {settings['model']['backbone']} on {subject.origin.dataset}",
        "**Research software, not a medical device.**",
        f"A classifier of skin-lesion images in {len(subject.metrics['class_names'])} classes: "
        f"{classes}. Backbone {settings['model']['backbone']}, head {settings['head']['name']}, "
        f"input {settings['model']['image_size']} px. It began from the weights “{source}” "
        f"(licence: {weights.get('licence') or 'not recorded'}).",
    ]


def _use(subject: Subject) -> list[str]:
    return [
        "## Intended use",
        "Research on, and teaching of, image classification in dermatology: comparing methods, "
        "studying calibration, fairness and failure.",
        "## Not intended",
        "Diagnosis, triage, screening or any decision about a person. It knows only the classes "
        "above and answers with one of them whatever it is shown, healthy skin and other diseases "
        "included. It was not tested in a clinic, on other cameras, or on people unlike those in "
        "its data.",
    ]


def _data(subject: Subject) -> list[str]:
    origin, metrics = subject.origin, subject.metrics
    training = origin.training
    learnt = (
        f"{count(training['n'], 'image')} of {count(training['n_groups'], subject.groups_are)}"
        if training
        else "an unknown number of images"
    )
    leak = (
        f" **Leaky: images of one {subject.groups_are} stand in training and in test; the numbers "
        "below are too high.**"
        if subject.leaky
        else ""
    )
    lines = [
        f"- data set: {origin.dataset}, {learnt} for training; test on "
        f"{count(metrics['n'], 'image')} of {count(metrics['n_groups'], subject.groups_are)}",
        f"- split: {metrics['protocol']}.{leak}",
        f"- licence of the images: {origin.bundle.get('licence') or 'not recorded'}",
        f"- cite: {origin.bundle.get('citation') or 'not recorded'}",
    ]
    if metrics["note"]:
        lines.append(f"- note: {metrics['note']}")
    return ["## Data", "\n".join(lines)]


def _numbers(subject: Subject) -> list[str]:
    metrics = subject.metrics
    keys = [*five(metrics), "nll", "ece"]
    blind = metrics["baselines"]
    rows = [
        [
            title(key),
            number(metrics[key]["value"]),
            ends(metrics[key]),
            *[number(row.get(key)) for row in blind.values()],
        ]
        for key in keys
    ]
    classes = [
        [name, str(row["n"]), *[with_ends(row[key]) for key in ("recall", "precision", "f1")]]
        for name, row in metrics["per_class"].items()
    ]
    how = metrics["intervals"]
    return [
        "## Numbers",
        f"On the test part, n = {metrics['n']:,}. Intervals: {100 * how['level']:.0f} %, "
        f"{how['method']}, {how['resamples']:,} resamples. “-” means not defined.",
        _markdown(["metric", "value", "95 % interval", *blind], rows),
        _markdown(["class", "n", "recall", "precision", "F1"], classes),
    ]


def _groups(subject: Subject) -> list[str]:
    rows = [
        [name, value, str(row["n"]), with_ends(row["top1"]), with_ends(row["balanced_accuracy"])]
        for name, each in subject.metrics.get("by_attribute", {}).items()
        for value, row in each["values"].items()
        if len(each["values"]) > 1
    ]
    if not rows:
        words = "The test table has no attributes (skin type, sex, age, site) with enough images."
        return ["## Groups", words]
    head = ["attribute", "value", "n", "top-1", "balanced accuracy"]
    words = "Values of few images are left out; a missing value is never a group."
    return ["## Groups", words, _markdown(head, rows)]


def _limits(subject: Subject) -> list[str]:
    rare = sorted(
        (row["n"], name) for name, row in subject.metrics["per_class"].items() if row["n"] < 50
    )
    lines = [
        "- Intervals say how far the numbers would move on other images of the same kind; they do "
        "not cover other cameras, clinics or people.",
        "- Labels are taken as true; some are not.",
        "- A confidence is only as good as its calibration (the ECE above is of the network's own "
        "probabilities); on pictures unlike those of training it means nothing.",
    ]
    if rare:
        shown = ", ".join(f"{name} ({n})" for n, name in rare)
        lines.append(f"- Classes with fewer than 50 test images, so with wide intervals: {shown}.")
    return ["## Limits", "\n".join(lines)]


def _loading(subject: Subject) -> list[str]:
    origin = subject.origin
    made = origin.environment
    lines = [f"- sha256 of model.safetensors: `{origin.bundle.get('sha256', 'not recorded')}`"]
    if made.get("commit"):
        lines.append(f"- DermaSense at commit {made['commit']}")
    return [
        "## Use",
        "```python\nfrom dermasense import load\n\n"
        'model = load("path/to/this/folder")\nprint(model.predict("image.jpg"))\n```',
        "\n".join(lines),
    ]


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(cell: str) -> str:
    return str(cell).replace("|", "\\|").replace("\n", " ")
