"""Labels that the pictures speak against (confident learning, Northcutt et al. 2021)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from dermasense.auditing.finding import Finding
from dermasense.auditing.subject import Subject


@dataclass(frozen=True)
class LabelErrors:
    """Candidates of cleanlab, ranked, from answers of a probe that has not seen the image's group.

    The answers are as good as the probe: a candidate is a question, and nobody should change a
    label by it without looking.
    """

    name: ClassVar[str] = "label_errors"
    title: ClassVar[str] = "Labels to look at"

    def __call__(self, subject: Subject) -> Finding:
        order, quality, candidates = ranked_labels(subject)
        answers = subject.answers
        probabilities = softmax(answers.logits, axis=1)
        guess = probabilities.argmax(axis=1)
        frame = answers.frame
        rows = [
            {
                "image_id": str(frame["image_id"].iloc[i]),
                "label": str(frame["label"].iloc[i]),
                "probe_says": answers.class_names[guess[i]],
                "with": round(float(probabilities[i, guess[i]]), 3),
                "label_gets": round(float(probabilities[i, answers.labels[i]]), 3),
                "rank": rank,
            }
            for rank, i in enumerate(order[:candidates], start=1)
        ]
        right = float((guess == answers.labels).mean())
        n = len(frame)
        summary = [
            f"{candidates:,} of {n:,} labels ({candidates / n:.1%}) are candidates, the most "
            "doubtful first.",
            f"The probe that doubts them is itself right on {right:.1%} of the labels (out of "
            "fold, by group), so many candidates are its mistakes: look, do not trust the number.",
        ]
        by_class = [
            {
                "label": name,
                "images": int((answers.labels == code).sum()),
                "candidates": int((answers.labels[order[:candidates]] == code).sum()),
            }
            for code, name in enumerate(answers.class_names)
        ]
        information = {"candidates": candidates, "n": n, "probe_top1": right}
        information["mean_quality"] = float(quality.mean())
        return Finding(summary, rows, information, {"By class.": by_class}, alarm=candidates > 0)


def ranked_labels(subject: Subject) -> tuple[np.ndarray, np.ndarray, int]:
    """All probed images, the most doubtful label first.

    Returns:
        Order (n,) of the rows of `subject.answers`, the label quality (n,) in [0, 1], and how many
        of the first are candidates.
    """
    # Imported here: it takes a second and a half, and only this audit needs it.
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    answers = subject.answers
    probabilities = softmax(answers.logits, axis=1)
    issues = find_label_issues(answers.labels, probabilities, n_jobs=1)
    quality = get_label_quality_scores(answers.labels, probabilities, method="self_confidence")
    order = np.lexsort((quality, ~issues))
    return order, quality, int(issues.sum())
