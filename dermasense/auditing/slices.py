"""Slices that do worse than their classes explain, without anybody having named them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.cluster import KMeans

from dermasense.auditing.copies import whitened
from dermasense.auditing.finding import Finding
from dermasense.auditing.intervals import of_sums
from dermasense.auditing.subject import Subject
from dermasense.evaluation.scores import Behind

COMPONENTS = 32  # of the embeddings: clusters of more are clusters of noise
LEAST = 20  # images of a slice that is judged


@dataclass(frozen=True)
class Slices:
    """Clusters of the embeddings by how far the probe falls short in them.

    The shortfall is the accuracy in the slice minus the one that images of the same labels, or of
    the same answers, have elsewhere: a slice of rare classes is no finding, an answer that is less
    true here than elsewhere is one. Of the two the clearer is shown. Its interval is over groups
    and holds for both and for all slices at once (Bonferroni), as all were looked at. The score is
    cleanlab's for underperforming groups: mean probability of the label in the slice over the mean
    of all.
    """

    name: ClassVar[str] = "slices"
    title: ClassVar[str] = "Slices that do worse"
    images_a_slice: int = 50
    most: int = 80

    def __call__(self, subject: Subject) -> Finding:
        answers = subject.answers
        vectors = whitened(subject.embeddings[subject.probed], COMPONENTS)
        k = int(np.clip(len(answers) // self.images_a_slice, 2, self.most))
        clusters = KMeans(k, n_init=3, random_state=subject.seed).fit(vectors)
        frame = subject.frame.iloc[subject.probed].reset_index(drop=True)
        said = answers.logits.argmax(1)
        right = (said == answers.labels).astype(float)
        confidence = softmax(answers.logits, axis=1)[np.arange(len(answers)), answers.labels]
        members = [np.flatnonzero(clusters.labels_ == each) for each in range(k)]
        members = [rows for rows in members if len(rows) >= LEAST]
        level = 1 - 0.05 / max(2 * len(members), 1)
        resamples = max(subject.resamples, 4000)  # the tails are that thin
        rows = []
        for inside in members:
            gaps = []
            for beside, classes in (("labels", answers.labels), ("answers", said)):
                expected = _elsewhere(classes, right, inside)
                gap = _shortfall(
                    answers.groups[inside], right[inside] - expected, level, resamples, subject.seed
                )
                gaps.append((np.inf if gap.high is None else gap.high, beside, expected, gap))
            _, beside, expected, gap = min(gaps, key=lambda each: each[0])
            centre = vectors[inside].mean(0)
            order = inside[np.argsort(-(vectors[inside] @ centre), kind="stable")]
            shown = list(dict.fromkeys([*order[right[order] == 0], *order]))[:2]
            rows.append(
                {
                    "image_id": str(frame["image_id"].iloc[shown[0]]),
                    "other": str(frame["image_id"].iloc[shown[1]]),
                    "what": _described(frame, inside, subject.catalog.attributes),
                    "n": len(inside),
                    "n_groups": gap.n_groups,
                    "accuracy": round(float(right[inside].mean()), 4),
                    "expected": round(float(expected.mean()), 4),
                    "by_its": beside,
                    "shortfall": round(gap.value, 4),
                    "low": None if gap.low is None else round(gap.low, 4),
                    "high": None if gap.high is None else round(gap.high, 4),
                    "score": round(float(confidence[inside].mean() / confidence.mean()), 4),
                    "members": frame["image_id"].iloc[inside].astype(str).tolist(),
                }
            )
        rows.sort(key=lambda row: np.inf if row["high"] is None else row["high"])
        worse = [row for row in rows if row["high"] is not None and row["high"] < 0]
        summary = [
            f"{len(worse)} of {len(rows)} slices do worse than their classes explain, with an "
            "interval that allows for all of them having been looked at."
        ]
        if worse:
            first = worse[0]
            summary.append(
                f"The clearest: {first['n']} images, {first['accuracy']:.1%} right where the same "
                f"{first['by_its']} are {first['expected']:.1%} right elsewhere; {first['what']}."
            )
        information = {"slices": len(rows), "worse": len(worse), "level": level}
        return Finding(summary, rows, information, alarm=bool(worse))


def _elsewhere(classes: np.ndarray, right: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Accuracy of each image's class outside the slice; of all images where it is nowhere."""
    outside = np.setdiff1d(np.arange(len(classes)), inside)
    most = classes.max() + 1
    n = np.bincount(classes[outside], minlength=most)
    share = np.bincount(classes[outside], right[outside], most) / np.maximum(n, 1)
    share[n == 0] = right.mean()
    return share[classes[inside]]


def _shortfall(groups: np.ndarray, gaps: np.ndarray, level: float, resamples: int, seed: int):
    codes = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((codes.max() + 1, 2))
    np.add.at(sums, codes, np.stack([gaps, np.ones(len(gaps))], 1))
    behind = Behind(len(gaps), len(sums), len(sums) - 1.0)
    return of_sums(
        "shortfall", sums, lambda s: s[:, 0] / s[:, 1], behind,
        resamples=resamples, seed=seed, level=level, difference=True,
    )  # fmt: skip


def _described(frame: pd.DataFrame, inside: np.ndarray, attributes: tuple[str, ...]) -> str:
    """The commonest label, and the attribute value that is most over-represented.

    Shares are of all images, those without a value too.
    """
    labels = frame["label"].iloc[inside].value_counts()
    words = [f"{labels.iloc[0] / len(inside):.0%} {labels.index[0]}"]
    best = (1.5, "")
    for name in attributes:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) and column.nunique() > 12:
            column = pd.qcut(column, 4, duplicates="drop")
        here = column.iloc[inside].value_counts() / len(inside)
        everywhere = column.value_counts() / len(frame)
        for value, share in here.items():
            lift = share / max(everywhere[value], 1e-9)
            if share >= 0.25 and lift > best[0]:
                best = (lift, f"{share:.0%} {name} {value} ({everywhere[value]:.0%} of all)")
    return ", ".join([*words, best[1]] if best[1] else words)
