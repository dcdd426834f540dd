"""Pictures that stand in two sets, or twice in one: benchmarks/results/overlap.csv (ids only).

    python -m dermasense.audit data=ham10000 data.root=DIR against=isic2018 against_root=DIR out=a
    python -m dermasense.audit data=fitzpatrick21 data.root=DIR audits=duplicates out=b
    python benchmarks/overlap.py a/audit.json b/audit.json

Pairs of one set are listed where they cross groups or labels (the others are photographs of one
lesion, as they should be, and only counted); a comparison without a pair has one row without ids.
"""

import argparse
from pathlib import Path

import pandas as pd

from dermasense.files import read_json, write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).parent / "results" / "overlap.csv"
COLUMNS = (
    "dataset against n n_against pairs listed image_id other kind turn likeness crosses labels "
    "command commit machine"
).split()
TAKEN = ("image_id", "other", "kind", "turn", "likeness", "labels")


def rows(audit: dict) -> list[dict]:
    """The rows of one audit.json."""
    name, found = audit["dataset"], []
    command = f"python -m dermasense.audit data={name} data.root=DIR"
    if "overlap" in audit["audits"]:
        overlap = audit["audits"]["overlap"]
        about = overlap["information"]
        found += _listed(
            overlap["rows"],
            {
                "dataset": name,
                "against": about["against"],
                "n": about["n"],
                "n_against": about["n_other"],
                "pairs": about["pairs"],
                "command": f"{command} against={about['against']} against_root=DIR",
            },
        )
    duplicates = audit["audits"]["duplicates"]
    # Crossing a split depends on the split's seed and is no property of the set.
    crossing = [r for r in duplicates["rows"] if {"group", "label"} & set(r["crosses"].split(", "))]
    about = {"dataset": name, "against": name, "n": audit["images"], "n_against": audit["images"]}
    about |= {"pairs": duplicates["information"]["pairs"], "command": command}
    return found + _listed(crossing, about)


def _listed(pairs: list[dict], about: dict) -> list[dict]:
    about = about | {"listed": len(pairs)}
    return [about | {key: pair[key] for key in TAKEN} | _crossed(pair) for pair in pairs] or [about]


def _crossed(pair: dict) -> dict:
    words = [w for w in pair.get("crosses", "").split(", ") if w in ("group", "label")]
    return {"crosses": ", ".join(words)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audits", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    found = [row for path in asked.audits for row in rows(read_json(path))]
    about = {"commit": commit(), "machine": machine()}
    write_csv(asked.out, [row | about for row in found], COLUMNS)
    print(pd.DataFrame(found).groupby(["dataset", "against"], sort=False)["pairs"].first())


if __name__ == "__main__":
    main()
