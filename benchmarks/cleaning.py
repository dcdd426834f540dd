"""Colour constancy, hair removal and frame crop on one split: benchmarks/results/cleaning.csv.

    python benchmarks/cleaning.py data.root=DIR [--only hair] [--seeds 0 1 2] [--work DIR]

A linear head on a frozen EfficientNet-Lite0 at 144 px, without augmentation: what cleaning does to
features that were learnt without it. Differences are to no cleaning, paired by lesion and seed.
The first seed of a trial decodes, cleans and embeds all images, the others find that done. The
test split is looked at to report, never to choose.
"""

from pathlib import Path

from trials import Trial, run_script

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
    run_script(__doc__, "cleaning", RESULTS, SHARED, TRIALS)


if __name__ == "__main__":
    main()
