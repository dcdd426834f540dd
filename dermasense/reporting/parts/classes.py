"""Which class is taken for which, and how well each is found."""

import numpy as np

from dermasense.evaluation.malignant import malignant_classes
from dermasense.reporting.drawing import whisker_cell
from dermasense.reporting.markup import Html, el, joined, scroll, table, value_cell
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject

_DARK = np.array([8.0, 69.0, 148.0])
MALIGNANT_NAMES = {
    "malignant_auroc": "AUROC, malignant against benign",
    "malignant_average_precision": "average precision",
    "malignant_sensitivity_at_90_specificity": "sensitivity where specificity is at least .90",
    "malignant_specificity_at_90_sensitivity": "specificity where sensitivity is at least .90",
}


def confusion(subject: Subject) -> Part:
    """The confusion matrix as a table: rows are true classes, the shade is the share of the row."""
    names, counts = subject.metrics["class_names"], subject.metrics["confusion_matrix"]
    many = len(names) > 10
    total = [sum(row) for row in counts]
    lines = []
    for name, row, n in zip(names, counts, total, strict=True):
        cells = [_cell(k, n, many) for k in row]
        lines.append(el("tr", el("th", f"{name} ({n:,})", scope="row"), *cells))
    head = [el("th", name, scope="col") for name in names]
    inner = el(
        "table",
        el("thead", el("tr", el("td"), *head)),
        el("tbody", *lines),
        cls=f"confusion{' many' if many else ''}",
    )
    body = [
        scroll(inner, "Rows: the true class and its images. Columns: the answer."),
        *_worst(names, counts),
    ]
    return Part("What is taken for what", joined(body))


def classes(subject: Subject) -> Part:
    """Recall, precision, F1, AUROC and average precision of each class, most images first."""
    rows = [
        [
            name,
            f"{row['n']:,} ({row['recall']['n_groups']:,})",
            Html(whisker_cell(row["recall"])),
            *[value_cell(row[key]) for key in ("recall", "precision", "f1", "auroc")],
            value_cell(row["average_precision"]),
        ]
        for name, row in sorted(
            subject.metrics["per_class"].items(), key=lambda item: -item[1]["n"]
        )
    ]
    caption = (
        f"n counts images ({subject.groups_are}s in brackets) that carry the class. The line shows "
        "recall and its 95 % interval from 0 to 1: where it is long, few images stand behind it, "
        "and classes whose lines overlap must not be ranked. Recall (sensitivity): the share of "
        "its images that are found. Precision: the share of such answers that are right. F1: both "
        "in one. AUROC: how often an image of the class stands before one of another. AP: mean "
        "precision over all recalls; blind answers reach the class's share."
    )
    head = ["class", "n", "recall, 0 to 1", "recall", "precision", "F1", "AUROC", "AP"]
    body = [table(head, rows, caption=caption), *_malignant(subject)]
    return Part("Each class", joined(body))


def _cell(k: int, n: int, many: bool) -> Html:
    share = k / n if n else 0.0
    colour = 255 + (_DARK - 255) * share
    paper = f"rgb({','.join(str(round(c)) for c in colour)})"
    ink = "#000" if _luminance(colour) > 0.179 else "#fff"  # the better contrast, always above 4.5
    percent = el("small", f"{100 * share:.0f} %") if k and not many else None
    return el(
        "td", str(k) if k else "", percent, style=f"background:{paper};color:{ink}",
        title=f"{100 * share:.1f} %" if many and k else None,
    )  # fmt: skip


def _luminance(colour: np.ndarray) -> float:
    """Relative luminance of an sRGB colour, 0..1 (WCAG 2)."""
    part = colour / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _worst(names: list[str], counts: list[list[int]]) -> list[Html]:
    matrix = np.array(counts)
    np.fill_diagonal(matrix, 0)
    places = np.argsort(-matrix, axis=None)[:3]
    pairs = [np.unravel_index(place, matrix.shape) for place in places]
    words = [
        f"{names[i]} taken for {names[j]} ({matrix[i, j]:,})" for i, j in pairs if matrix[i, j]
    ]
    if not words:
        return [el("p", "No image was taken for another class.")]
    return [el("p", f"Most often: {', '.join(words)}.")]


def _malignant(subject: Subject) -> list[Html]:
    metrics = subject.metrics
    known = [key for key in MALIGNANT_NAMES if metrics.get(key, {}).get("value") is not None]
    if not known:
        return []
    n, names = metrics[known[0]]["n"], ", ".join(malignant_classes(metrics["class_names"]))
    rows = [[MALIGNANT_NAMES[key], value_cell(metrics[key])] for key in known]
    caption = (
        f"The {n:,} malignant images ({names}) against the {metrics['n'] - n:,} others, by "
        "the sum of their probabilities. The thresholds were chosen on these very images, so in "
        "use they will do a little worse."
    )
    return [el("h3", "Malignant or not"), table(["", "value"], rows, caption=caption)]
