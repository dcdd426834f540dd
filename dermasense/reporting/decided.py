"""The part of a model card on what the bundle does with the network's logits, from model.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermasense.evaluation.decisions import restore, stored_entries
from dermasense.files import read_json, write_text
from dermasense.reporting.decision_table import settings_words

CARD, DESCRIPTION = "MODEL_CARD.md", "model.json"
HEAD, FOLLOWING = "## Calibration and decisions", "## Limits"
KINDS = {
    "set": "gives a set of classes, which lacks the true one in a share alpha of images",
    "alarm": "raises an alarm for classes that must not be missed",
    "refer": "leaves unsure pictures to a person",
    "answer": "answers with the class of least cost, which need not be the most probable",
}


def decided(description: Mapping[str, Any]) -> list[str]:
    """The paragraphs of the part, its heading first.

    Args:
        description: model.json of a bundle.

    Raises:
        DermaSenseError: a decision that this version does not know.
    """
    lines = []
    if words := _calibration(description):
        lines.append(f"- calibration: {words}")
    for entry in stored_entries(description.get("decision")):
        fitted = restore(entry)
        lines.append(f"- {fitted.kind}: {KINDS[fitted.kind]} ({entry['name']}: {_fit(entry)})")
    if found := description.get("ood"):
        lines.append(
            "- unlike pictures: warns of, and refers, what lies farther off than all but "
            f"{100 * found['false_alarms']:g} % of the {found['n']:,} images it was fitted on"
        )
    if not lines:
        words = "None was fitted: probabilities are the softmax of the network's own logits."
        return [HEAD, words]
    return [
        HEAD,
        "Fitted on validation images, stored in model.json, and applied by `load`, `predict` and "
        "`serve`. The numbers above are of the network's own logits, before all this.",
        "\n".join(lines),
    ]


def renew_card(folder: Path) -> None:
    """Writes that part of a bundle's model card anew; a bundle without a card is left as it is.

    Args:
        folder: of the bundle.
    """
    path = folder / CARD
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    before, former, after = text.partition(f"{HEAD}\n")
    if former:
        after = FOLLOWING + after.partition(FOLLOWING)[2]
    else:
        before, following, after = text.partition(FOLLOWING)
        after = following + after
    part = "\n\n".join(decided(read_json(folder / DESCRIPTION)))
    write_text(path, f"{before.rstrip()}\n\n{part}\n\n{after}".rstrip() + "\n")


def _calibration(description: Mapping[str, Any]) -> str:
    """ "" where none was fitted. A temperature alone is what older bundles have."""
    entry = description.get("calibration")
    if entry is None:
        value = description.get("temperature", 1)
        return "" if value == 1 else f"temperature {value:.3f}"
    option = {"temperature": "value", "vector": "ridge", "prior_shift": "strength"}[entry["name"]]
    words = f"{entry['name']}, {option} {entry[option]:.4g}"
    if on := entry.get("fitted_on"):
        words += f", fitted on {on['n']:,} images in {on['n_groups']:,} groups"
    return words


def _fit(entry: Mapping[str, Any]) -> str:
    n = entry.get("n")
    return settings_words(entry) + (f", n {n:,}" if isinstance(n, int) else "")
