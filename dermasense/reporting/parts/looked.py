"""Where the model looked in a few test pictures, as the run left them; only in local reports."""

import base64

from dermasense.reporting.markup import Html, el, joined
from dermasense.reporting.parts import Part
from dermasense.reporting.subject import Subject

SAID = (
    "The brighter, the more a place moved the model towards its answer (HiResCAM). The surest "
    "right answers, one a class, then the surest wrong ones. A map shows neither that an answer is "
    "right nor why; bright skin beside a lesion, hairs or rulers are worth a second look."
)


def looked(subject: Subject) -> Part | None:
    """Overlays beside label and answer; None where there are none or pictures are left out."""
    looks = subject.origin.looked if subject.origin else ()
    if not looks or subject.no_pictures or subject.part != "test":
        return None
    shown = [_figure(look) for look in looks]
    return Part(
        "Where the model looked", joined([el("p", SAID), el("div", *shown, cls="pictures")])
    )


def _figure(look: dict) -> Html:
    source = f"data:image/jpeg;base64,{base64.b64encode(look['jpeg']).decode()}"
    right = look["label"] == look["answer"]
    words = f" ({look['probability']:.2f}), right" if right else f" taken for {look['answer']}"
    words += "" if right else f" ({look['probability']:.2f})"
    alt = f"{look['image_id']} with a heat map. {look['says']}"
    said = [el("b", look["label"]), words, el("br"), el("small", look["image_id"])]
    return el("figure", el("img", src=source, alt=alt), el("figcaption", *said))
