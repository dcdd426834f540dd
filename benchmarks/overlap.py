"""Pictures that stand in two sets, or twice in one: benchmarks/results/overlap.csv (ids only).

    python benchmarks/overlap.py --ham10000 <root> --isic2018 <root> --fitzpatrick21 <root>

HAM10000 against the external ISIC 2018 set, and each of HAM10000 and fitzpatrick21 against itself;
a pair of sets without a copy has one row without ids.
"""

import argparse
import os
from pathlib import Path

import pandas as pd

from dermasense.auditing.duplicates import duplicate_pairs
from dermasense.auditing.embeddings import Embedder
from dermasense.auditing.overlap import overlapping
from dermasense.auditing.subject import Subject
from dermasense.data.sources import fitzpatrick21, ham10000, isic2018
from dermasense.files import write_csv
from dermasense.run_folder import commit, machine

RESULTS = Path(__file__).parent / "results" / "overlap.csv"
COLUMNS = (
    "dataset against n n_against pairs image_id other kind turn likeness same_label same_group "
    "command commit machine"
).split()


def rows(one: Subject, two: Subject, pairs: list[tuple]) -> list[dict]:
    """A row a pair (row of one, row of two, kind, likeness, turn), the most alike first."""
    a, b = one.frame, two.frame
    about = {"dataset": one.catalog.name, "n": len(one.readable), "pairs": len(pairs)}
    about |= {"against": two.catalog.name, "n_against": len(two.readable)}
    return [
        about
        | {"image_id": a["image_id"][i], "other": b["image_id"][j], "kind": kind, "turn": turn}
        | {"likeness": likeness, "same_label": bool(a["label"][i] == b["label"][j])}
        | {"same_group": bool(a["group"][i] == b["group"][j]) if one is two else None}
        for i, j, kind, likeness, turn in pairs
    ] or [about]


def within(subject: Subject) -> list[tuple]:
    """Pairs of one set."""
    columns = ["first", "second", "kind", "likeness", "turn"]
    pairs = duplicate_pairs(subject).sort_values("likeness", ascending=False, kind="stable")
    return list(pairs[columns].itertuples(index=False, name=None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("ham10000", "isic2018", "fitzpatrick21"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--cache", default=os.environ.get("DERMASENSE_CACHE", "outputs/cache"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    embedder = Embedder.of(backbone="tf_efficientnet_lite0", weights="package", image_size=224)
    catalogs = (
        ham10000.catalog(asked.ham10000),
        isic2018.catalog(asked.isic2018),
        fitzpatrick21.catalog(asked.fitzpatrick21, asked.cache),
    )
    ham, external, clinical = (Subject(each, embedder, asked.cache) for each in catalogs)
    found = rows(ham, external, overlapping(ham, external))
    found += rows(ham, ham, within(ham)) + rows(clinical, clinical, within(clinical))
    command = "python benchmarks/overlap.py --ham10000 DIR --isic2018 DIR --fitzpatrick21 DIR"
    about = {"command": command, "commit": commit(), "machine": machine()}
    write_csv(asked.out, [row | about for row in found], COLUMNS)
    table = pd.DataFrame(found)
    print(table.groupby(["dataset", "against"], sort=False).size())
    crossing = table[(table["same_group"] == False) | (table["dataset"] != table["against"])]  # noqa: E712
    print(crossing.drop(columns=["n", "n_against", "pairs"]).to_string())


if __name__ == "__main__":
    main()
