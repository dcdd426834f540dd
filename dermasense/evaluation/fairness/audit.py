"""All attributes of a table: each value with n and intervals, the largest gaps, the label sources.

What is not known is never a group; attributes that a table lacks (external sets often have none)
are left out in silence, since their absence stands in the table itself.
"""

import numpy as np
import pandas as pd

from dermasense.evaluation.bootstrap import interval, jackknifed, resampled
from dermasense.evaluation.fairness.agreement import agreement
from dermasense.evaluation.fairness.bands import ROMAN, banded_attributes, is_skin_type, skin_types
from dermasense.evaluation.fairness.gaps import gap_of
from dermasense.evaluation.fairness.scores import COMPARED, METRICS, GroupScores
from dermasense.evaluation.predictions import Predictions

LEAST = 20
SINGLE = " (single types)"


def by_attribute(
    predictions: Predictions, *, least: int = LEAST, resamples: int = 1000, seed: int = 0
) -> dict[str, dict]:
    """Metrics of every value of every attribute, and the gaps between values.

    Skin types come in the bands I-II, III-IV, V-VI, and once more one by one under the name
    "<attribute> (single types)"; ages in bands of twenty.

    Args:
        predictions: the table; its other columns than ids, label and fold are attributes.
        least: images that a value needs to be shown.
        resamples, seed: of the bootstrap over lesions.

    Returns:
        Attribute -> least, unknown (images without a value), too_few (images in values of fewer
        than `least`), values {value: n, n_groups and an interval for each of `METRICS`}, gaps
        {metric: see :meth:`Gap.as_dict`}, and for a skin type of two sources `agreement`. An
        attribute of more than twenty different words (a free text) is left out.
    """
    found: dict[str, dict] = {}
    frame = predictions.frame
    sources = []
    for name, words in banded_attributes(frame):
        found[name] = _attribute(predictions, words, least, resamples, seed)
        if is_skin_type(name, frame[name]):
            sources.append(name)
            single = skin_types(frame[name])
            found[f"{name}{SINGLE}"] = _attribute(predictions, single, least, resamples, seed)
    for other in sources[1:]:
        pair = agreement(
            frame[sources[0]], frame[other], predictions.groups, resamples=resamples, seed=seed
        )
        if pair:
            found[other]["agreement"] = {"with": sources[0], **pair}
    return found


def _attribute(
    predictions: Predictions, words: pd.Series, least: int, resamples: int, seed: int
) -> dict:
    counts = words.value_counts()
    shown = [name for name in _ordered(counts.index) if counts[name] >= least]
    place = {name: code for code, name in enumerate(shown)}
    codes = words.map(place).fillna(-1).to_numpy(np.int64)
    about = {
        "least": least,
        "unknown": int(words.isna().sum()),
        "too_few": int(counts.sum() - counts[shown].sum()),
        "values": {},
        "gaps": {},
    }
    if not shown:
        return about
    scores = GroupScores(predictions, codes, shown)
    points, behind = scores(np.ones((scores.n_groups, 1))), scores.behind()
    draws, left_out = resampled(scores, resamples, seed), jackknifed(scores, seed)
    for name in shown:
        whole = behind[f"top1/{name}"]
        row = {"n": whole.n, "n_groups": whole.n_groups}
        for metric in METRICS:
            key = f"{metric}/{name}"
            value = float(points[key][0])
            row[metric] = interval(key, value, draws[key], left_out[key], behind[key]).as_dict()
        about["values"][name] = row
    for metric in COMPARED:
        keys = [f"{metric}/{name}" for name in shown]
        gap = gap_of(
            metric,
            shown,
            np.array([points[key][0] for key in keys]),
            np.stack([draws[key] for key in keys]),
            [behind[key] for key in keys],
        )
        if gap:
            about["gaps"][metric] = gap.as_dict()
    return about


def _ordered(names) -> list[str]:
    """Single types in their own order, bands of numbers by their start, words by the alphabet."""

    def key(name: str) -> tuple:
        if name in ROMAN:
            return (0, ROMAN.index(name), name)
        head = name.partition(" ")[0]
        number = float(head) if head.lstrip("-").replace(".", "", 1).isdigit() else np.inf
        return (1, number, name)

    return sorted((str(name) for name in names), key=key)
