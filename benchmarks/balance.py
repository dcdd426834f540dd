"""Every balance on one split, several seeds: benchmarks/results/balance.csv.

    python benchmarks/balance.py data.root=DIR [--only smote mixup] [--seeds 0 1 2] [--work DIR]

A head on a frozen EfficientNet-Lite0 at 96 px (the recipe of b1_se_lite without its unfreezing
and without augmentation; cross-entropy, but where the balance is focal loss's own), so that a
trial takes a minute: what a balance does to the classifier, not to the features. A first run
computes the embeddings of the real images, which all trials share; those of pixel SMOTE's blends
are its own cost. Rows that stand in the table are not run again, a trial that was cut goes on.

Differences are to the trial in the column `base`, paired by lesion and seed.
The test split is looked at to report, never to choose.
"""

from pathlib import Path

from trials import Trial, run_script

RESULTS = Path(__file__).parent / "results" / "balance.csv"
SHARED = (
    "experiment=b1_se_lite loss=ce phases=frozen augment=none cache=boundary split.seed=0 "
    "batch_size=128 phases.frozen.lr=2.0e-3 monitor=balanced_accuracy num_workers=0 logger=none "
    "report.images=false"
).split()


def _trial(name: str, *words: str, loss: str = "ce", bases: tuple[str, ...] = ("none",)) -> Trial:
    return Trial({"balance": name, "loss": loss}, words, bases)


def _features(method: str) -> Trial:
    words = ("balance=smote_features", f"balance.method={method}")
    return _trial(f"smote_features_{method}", *words)


TRIALS = [
    _trial("none", "balance=none", bases=()),
    _trial("sampler", "balance=sampler"),
    _trial("class_weights", "balance=class_weights"),
    _trial("logit_adjust", "balance=logit_adjust"),
    _features("smote"),
    _features("borderline"),
    _features("adasyn"),
    _trial("mixup", "balance=mixup"),
    _trial("focal", "balance=none", "loss=focal", loss="focal"),
    _trial(
        "focal_alpha", "balance=focal_alpha", "loss=focal", loss="focal", bases=("focal", "none")
    ),
    _trial("smote", "balance=smote", bases=("none", "class_weights", "smote_features_smote")),
    _features("smote_enn"),
    # Its boxes are cut out of pictures, so that the frozen network runs in every epoch.
    _trial("cutmix", "balance=cutmix", "cache=none"),
]


def main() -> None:
    warm = Trial({"balance": "warm"}, ("balance=none", "limit_epochs=1"))
    run_script(__doc__, "balance", RESULTS, SHARED, TRIALS, first=warm)


if __name__ == "__main__":
    main()
