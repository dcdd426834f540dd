"""Colour constancy, hair removal and frame crop on one split: benchmarks/results/cleaning.csv.

    python benchmarks/cleaning.py data.root=DIR [--only hair] [--seeds 0 1 2] [--work DIR]

A linear head on a frozen EfficientNet-Lite0 at 144 px, without augmentation: what cleaning does to
features that were learnt without it. Differences are to no cleaning, paired by lesion and seed.
The first seed of a trial decodes, cleans and embeds all images, the others find that done. The
test split is looked at to report, never to choose.
"""

import argparse
from pathlib import Path

from trials import Ablation, Trial

RESULTS = Path(__file__).parent / "results" / "cleaning.csv"
SHARED = (
    "experiment=b1_se_lite head=linear loss=ce balance=none phases=frozen augment=none "
    "cache=boundary model.image_size=144 split.seed=0 batch_size=128 phases.frozen.epochs=20 "
    "phases.frozen.lr=2.0e-3 monitor=balanced_accuracy num_workers=0 logger=none "
    "report.images=false"
).split()


def _trial(name: str, *methods: str) -> Trial:
    words = (f"model.clean=[{','.join(methods)}]",)
    return Trial({"clean": name}, words, () if name == "none" else ("none",))


TRIALS = [
    _trial("none"),
    _trial("shades_of_grey", "shades_of_grey"),
    _trial("hair", "hair"),
    _trial("frame_crop", "frame_crop"),
    _trial("all", "frame_crop", "hair", "shades_of_grey"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="data.root=DIR, the folder of HAM10000")
    parser.add_argument("--only", nargs="+", choices=[each.name for each in TRIALS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("outputs/cleaning"), help="run folders")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    work = options.work.resolve()
    ablation = Ablation(
        options.results,
        work,
        "ham10000",
        SHARED,
        [f"data.root={options.root.removeprefix('data.root=')}", f"cache_dir={work / 'cache'}"],
        options.seeds,
        "python benchmarks/cleaning.py data.root=DIR",
        TRIALS,
    )
    ablation.walk([each for each in TRIALS if not options.only or each.name in options.only])


if __name__ == "__main__":
    main()
