"""What another skin tone changes, and how far tones can be measured.

    python benchmarks/skin_tone.py RUN --root data/fitzpatrick21

benchmarks/results/skin_tone.csv has the shifts of `python -m dermasense.counterfactual` on the
run's test split, of the skin and of the whole picture. skin_tone_measure.csv has L*, b* and ITA by
skin type on its training split, their rank correlation with the types, and how well the
segmentation finds the lesions of synthetic pictures, whose masks are known.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import spearmanr

from dermasense.data.skin import segment
from dermasense.data.sources import fitzpatrick21, synthetic
from dermasense.evaluation.fairness.bands import ROMAN
from dermasense.files import write_csv
from dermasense.inference.counterfactual import study
from dermasense.provenance import commit, machine
from dermasense.run_folder import RunFolder

MEASURE = ["dataset", "what", "of", "value", "low_quartile", "high_quartile", "n"]
MEASURE += ["command", "commit", "machine"]


def shifts(run: Path, root: str, cache: str, resamples: int) -> tuple[list[dict], pd.DataFrame]:
    """Rows of both regions, and the tones of the run's images."""
    catalog, rows = fitzpatrick21.catalog(root, cache), []
    name = RunFolder(run).read_config()[1]["name"]
    for region in ("skin", "picture"):
        found, tones = study(run, catalog, region=region, cache_dir=cache, resamples=resamples)
        rows += [{"dataset": "fitzpatrick21", "experiment": name} | row for row in found]
    types = catalog.frame[["image_id", "skin_type_centaur"]]
    return rows, tones.merge(types, on="image_id")


def measured(tones: pd.DataFrame) -> list[dict]:
    """Medians and quartiles by type, and rank correlations with both sources of types."""
    train, rows = tones[tones["split"] == "train"], []
    for source in ("skin_type", "skin_type_centaur"):
        for kind, name in enumerate(ROMAN, start=1):
            part = train[(train[source] == kind) & train["ita"].notna()]
            for what in ("lightness", "yellowness", "ita"):
                rows.append(_spread("fitzpatrick21 train", what, f"{source} {name}", part[what]))
        both = train.dropna(subset=["ita", source])
        value = spearmanr(both["ita"], both[source]).statistic
        row = {"dataset": "fitzpatrick21 train", "what": "rank correlation of ita", "of": source}
        rows.append(row | {"value": round(float(value), 3), "n": len(both)})
    share = train["ita"].notna()
    row = {"dataset": "fitzpatrick21 train", "what": "share with enough skin", "of": "all"}
    return [*rows, row | {"value": round(float(share.mean()), 4), "n": len(train)}]


def overlap() -> list[dict]:
    """Intersection over union of lesions found and drawn, on synthetic pictures."""
    found = []
    with tempfile.TemporaryDirectory() as root:
        frame = synthetic.catalog(root=root, n_lesions=200, image_px=160, masks=True).frame
        for path in frame["path"]:
            truth = np.asarray(Image.open(synthetic.mask_path(path))) > 127
            lesion = segment(np.asarray(Image.open(path)))[1]
            found.append((truth & lesion).sum() / max((truth | lesion).sum(), 1))
    row = {"dataset": "synthetic", "what": "share of lesions with IoU above .5", "of": "all"}
    row |= {"value": round(float(np.mean(np.array(found) > 0.5)), 3), "n": len(found)}
    return [_spread("synthetic", "IoU of the lesion", "all", pd.Series(found)), row]


def _spread(dataset: str, what: str, of: str, values: pd.Series) -> dict:
    middle, low, high = values.quantile([0.5, 0.25, 0.75]).round(3)
    ends = {"value": middle, "low_quartile": low, "high_quartile": high}
    return {"dataset": dataset, "what": what, "of": of, **ends, "n": len(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder on fitzpatrick21")
    parser.add_argument("--root", required=True, help="folder of fitzpatrick21")
    parser.add_argument("--cache", default="outputs/cache")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    about = {"command": f"python benchmarks/skin_tone.py {arguments.run} --root DIR"}
    about |= {"commit": commit(), "machine": machine()}
    rows, tones = shifts(arguments.run, arguments.root, arguments.cache, arguments.resamples)
    rows = [row | about for row in rows]
    write_csv(arguments.out / "skin_tone.csv", rows, list(rows[0]))
    found = [row | about for row in [*measured(tones), *overlap()]]
    found = [{name: row.get(name, "") for name in MEASURE} for row in found]
    write_csv(arguments.out / "skin_tone_measure.csv", found, MEASURE)
    shown = ["region", "origin", "target", "n", "changed", "changed_control", "changed_excess"]
    print(pd.DataFrame(rows)[shown].to_string())


if __name__ == "__main__":
    main()
