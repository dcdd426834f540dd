"""How the training went, and everything needed to do it again."""

import math

import yaml

from dermasense.reporting.drawing import BLUE, GREEN, VERMILION, Plot
from dermasense.reporting.markup import el, figure, joined
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject

# Solid, dashed, dotted: told apart without colour.
_STYLES = ((BLUE, ""), (VERMILION, "6 3"), (GREEN, "2 3"))
_SCORES = {
    "val_balanced_accuracy": "balanced accuracy",
    "val_top1": "top-1",
    "val_macro_f1": "macro-F1",
}


def training(subject: Subject) -> Part | None:
    """Loss and validation scores by epoch, phases marked; None without a history."""
    history = subject.origin.history if subject.origin else []
    if not history:
        return None
    losses = {"train_loss": "training", "val_loss": "validation"}
    high = max(_known(history, losses), default=1.0)
    loss = _lines(history, losses, (0, _nice(high)), "loss")
    scores = _lines(history, _SCORES, (0, 1), "validation score")
    said = (
        f"{len(history)} epochs. The loss of training is of augmented (and balanced) images, so "
        "the two losses need not meet."
    )
    chosen = (
        "Scores of validation, by which the epoch was chosen "
        f"({subject.origin.settings.get('monitor', 'loss')}); the test part was not looked at."
    )
    body = el("div", figure(loss, said), figure(scores, chosen), cls="plots")
    return Part("Training", body, {"loss": loss, "validation": scores})


def configuration(subject: Subject) -> Part | None:
    """Command, versions, weights and the whole configuration."""
    origin = subject.origin
    if origin is None:
        return None
    environment, weights = origin.environment, origin.bundle.get("weights_provenance", {})
    packages = ", ".join(f"{k} {v}" for k, v in environment.get("packages", {}).items())
    facts = {
        "command": environment.get("command"),
        "commit": environment.get("commit") or "not in a checkout",
        "machine": environment.get("machine"),
        "packages": packages,
        "pretrained weights": weights.get("source") or weights.get("weights"),
        "their licence": weights.get("licence"),
        "images": f"{origin.dataset}, {origin.bundle.get('licence', 'licence not recorded')}",
        "cite": origin.bundle.get("citation"),
    }
    lines = [el("li", el("b", f"{key}: "), str(value)) for key, value in facts.items() if value]
    settings = yaml.safe_dump(origin.settings, sort_keys=False, allow_unicode=True)
    body = [el("ul", *lines), el("pre", settings, cls="columns")]
    return Part("Configuration", joined(body))


def _lines(history: list[dict], names: dict[str, str], y: tuple[float, float], label: str) -> str:
    epochs = list(range(1, len(history) + 1))
    shown = {
        key: words for key, words in names.items() if any(_is_number(r.get(key)) for r in history)
    }
    last = {key: next(r[key] for r in reversed(history) if _is_number(r.get(key))) for key in shown}
    alt = f"{label} by epoch; at the end " + ", ".join(
        f"{w} {last[k]:.3f}" for k, w in shown.items()
    )
    plot = Plot(
        alt, size=(440, 310), x=(0.5, len(history) + 0.5), y=y, xlabel="epoch", ylabel=label,
        xticks=_epoch_ticks(len(history)), title=[" "],
    )  # fmt: skip
    _legend(plot, list(shown.values()))
    for (colour, dash), key in zip(_STYLES, shown, strict=False):
        values = [row[key] if _is_number(row.get(key)) else None for row in history]
        plot.line(epochs, values, colour, dash=dash, dots=len(history) <= 30)
    plot.uprights([(start - 0.5, name) for start, name in _phases(history)])
    return plot.svg()


def _legend(plot: Plot, words: list[str]) -> None:
    left = 46.0
    for (colour, dash), word in zip(_STYLES, words, strict=False):
        plot.key(left, word, colour, dash)
        left += 45 + 7 * len(word)


def _phases(history: list[dict]) -> list[tuple[int, str]]:
    names = [row.get("phase") for row in history]
    return [(i + 1, str(n)) for i, n in enumerate(names) if n and (i == 0 or names[i - 1] != n)]


def _epoch_ticks(epochs: int) -> list[int]:
    step = max(1, math.ceil(epochs / 8))
    return list(range(1, epochs + 1, step))


def _known(history: list[dict], names: dict) -> list[float]:
    return [row[key] for row in history for key in names if _is_number(row.get(key))]


def _is_number(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _nice(high: float) -> float:
    power = 10 ** math.floor(math.log10(high)) if high > 0 else 1.0
    return next(k * power for k in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if k * power >= high)
