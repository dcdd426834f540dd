"""The same picture twice: equal files, equal pixels and near copies, and what they cross."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dermasense.auditing.finding import Finding
from dermasense.auditing.subject import Subject

CROSSED = ("group", "label", "split")


@dataclass(frozen=True)
class Duplicates:
    """Pairs of copies; those that cross groups, labels or splits first."""

    name: ClassVar[str] = "duplicates"
    title: ClassVar[str] = "Duplicates"

    def __call__(self, subject: Subject) -> Finding:
        pairs = duplicate_pairs(subject)
        frame = subject.frame.assign(split=subject.split)
        rows = [_row(frame, pair) for pair in pairs.to_dict("records")]
        rows.sort(key=lambda row: (-len(row["crosses"]), -row["likeness"]))
        crossing = {
            name: sum(name in row["crosses"].split(", ") for row in rows) for name in CROSSED
        }
        images = len(set(pairs["first"]) | set(pairs["second"]))
        if rows:
            kinds = pairs["kind"].value_counts()
            shown = ", ".join(f"{kinds[kind]} {kind}" for kind in kinds.index)
            summary = [
                f"{len(rows):,} pairs of copies among {images:,} images ({shown}).",
                f"{crossing['group']} pairs join two groups, {crossing['label']} have two labels, "
                f"{crossing['split']} stand in two parts of the split: each of these is a leak or "
                "a wrong label.",
            ]
        else:
            summary = ["No picture is a copy of another."]
        if crossing["group"]:
            summary.append("write=catalog writes a table whose groups join them.")
        summary += [words for words in (subject.not_compared, subject.no_split) if words]
        information = {
            "pairs": len(rows),
            "images": images,
            "not_compared": len(frame) - len(subject.comparable),
            "kinds": {str(k): int(v) for k, v in pairs["kind"].value_counts().items()},
            "crossing": crossing,
            "split": "given" if subject.given_split is not None else subject.split_options,
        }
        return Finding(summary, rows, information, alarm=any(crossing.values()))


def duplicate_pairs(subject: Subject) -> pd.DataFrame:
    """Columns first, second (rows of the frame, first < second), kind, turn, share, likeness."""
    facts = subject.facts.iloc[subject.comparable]
    found: dict[tuple[int, int], dict] = {}
    for column, kind in (("digest", "equal file"), ("pixels", "equal pixels")):
        for _, rows in facts.groupby(column).groups.items():
            for other in rows[1:]:
                pair = int(rows[0]), int(other)
                found.setdefault(
                    pair, {"kind": kind, "turn": "as it is", "share": 1.0, "likeness": 1.0}
                )
    for copy in subject.copies:
        found.setdefault(
            (copy.first, copy.second),
            {
                "kind": "near copy",
                "turn": copy.turn,
                "share": copy.share,
                "likeness": copy.likeness,
            },
        )
    rows = [{"first": i, "second": j} | about for (i, j), about in sorted(found.items())]
    columns = ["first", "second", "kind", "turn", "share", "likeness"]
    return pd.DataFrame(rows, columns=columns)


def joined_groups(subject: Subject) -> pd.Series:
    """The catalog's groups, joined where a pair of copies stands in two of them.

    Returns:
        For each row of the frame the first name, sorted, among the groups that were joined.
    """
    codes, names = pd.factorize(subject.frame["group"].astype(str), sort=True)
    pairs = duplicate_pairs(subject)
    first, second = codes[pairs["first"].to_numpy(int)], codes[pairs["second"].to_numpy(int)]
    # csgraph of scipy 1.11 takes no other indices than int32.
    ends = first.astype(np.int32), second.astype(np.int32)
    graph = coo_array((np.ones(len(pairs)), ends), shape=(len(names),) * 2)
    _, component = connected_components(graph, directed=False)
    home = pd.Series(np.arange(len(names))).groupby(component).min()
    return pd.Series(names[home.to_numpy()[component[codes]]], index=subject.frame.index)


def _row(frame: pd.DataFrame, pair: dict) -> dict:
    one, other = frame.iloc[pair["first"]], frame.iloc[pair["second"]]
    crosses = [
        name
        for name in CROSSED
        if pd.notna(one[name]) and pd.notna(other[name]) and one[name] != other[name]
    ]
    return {
        "image_id": str(one["image_id"]),
        "other": str(other["image_id"]),
        "crosses": ", ".join(crosses),
        "labels": _both(one["label"], other["label"]),
        "groups": _both(one["group"], other["group"]),
        "splits": _both(one["split"], other["split"]),
        **{key: pair[key] for key in ("kind", "turn", "share", "likeness")},
    }


def _both(one: object, other: object) -> str:
    return str(one) if one == other else f"{one} | {other}"
