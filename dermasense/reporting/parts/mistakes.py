"""The answers that were most sure and wrong, with the pictures where they are at hand."""

import numpy as np
from scipy.special import softmax

from dermasense.reporting.markup import Html, count, el, joined, table
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject
from dermasense.reporting.thumbnail import thumbnail

SHOWN = 12
_SIDE = 200


def mistakes(subject: Subject) -> Part:
    """Wrong answers by their confidence, one a group, the surest first."""
    predictions = subject.predictions
    probabilities = softmax(predictions.logits.astype(float), axis=1)
    answer, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(answer != predictions.labels)
    if not len(wrong):
        return Part("Worst mistakes", el("p", "There are none."))
    order = wrong[np.argsort(-confidence[wrong], kind="stable")]
    _, first = np.unique(predictions.groups[order], return_index=True)
    rows = order[np.sort(first)][:SHOWN]
    said = (
        f"{count(len(wrong), 'wrong answer')} of {len(predictions):,}; these were the surest, one "
        f"a {subject.groups_are}. A label may be wrong too."
    )
    cases = [
        (
            str(predictions.frame["image_id"].iloc[row]),
            predictions.class_names[predictions.labels[row]],
            predictions.class_names[answer[row]],
            float(confidence[row]),
            float(probabilities[row, predictions.labels[row]]),
        )
        for row in rows
    ]
    pictures = [thumbnail(subject.pictures.get(case[0]), _SIDE) for case in cases]
    if any(pictures):
        shown = [_figure(*pair) for pair in zip(cases, pictures, strict=True)]
        body = [el("p", said), el("div", *shown, cls="pictures")]
    else:
        body = [el("p", said), _listed(cases)]
        if subject.no_pictures:
            body.append(el("p", f"Without pictures: {subject.no_pictures}.", cls="soft"))
    return Part("Worst mistakes", joined(body))


def _figure(case: tuple, picture: str | None) -> Html:
    image_id, true, answer, confidence, true_share = case
    alt = f"{image_id}: {true}, taken for {answer}"
    shown = el("img", src=picture, alt=alt) if picture else el("p", "no picture")
    words = [
        el("b", true),
        f" taken for {answer} ({confidence:.2f}; {true} got {true_share:.2f})",
        el("br"),
        el("small", image_id),
    ]
    return el("figure", shown, el("figcaption", *words))


def _listed(cases: list[tuple]) -> Html:
    rows = [[image, true, answer, f"{p:.2f}", f"{q:.2f}"] for image, true, answer, p, q in cases]
    head = ["image", "true class", "answer", "confidence", "true class got"]
    return table(head, rows, caption="Surest wrong answers.", words=(1, 2))
