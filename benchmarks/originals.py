"""What the head and the unfreezing of the original b1_se contribute: results/originals.csv.

    python benchmarks/originals.py data.root=DIR [--only linear_head] [--seeds 0 1 2] [--work DIR]

One factor at a time on one split, as in `balance.py` (its recipe, Lite0 at 96 px; SMOTE and focal
loss stand in balance.csv). Unfreezing trains 15, 25 and 35 Keras layers in turn on cached
activations: an hour or more of a core. Differences are to the frozen network with the
squeeze-excite head, paired by lesion and seed. The test split is looked at to report, never to
choose.
"""

from pathlib import Path

from balance import SHARED
from trials import Trial, run_script

RESULTS = Path(__file__).parent / "results" / "originals.csv"


def _trial(name: str, factor: str, *words: str, base: str = "frozen") -> Trial:
    return Trial(
        {"variant": name, "factor": factor}, ("balance=none", *words), (base,) if base else ()
    )


TRIALS = [
    _trial("frozen", "the rest of the recipe", base=""),
    _trial("linear_head", "no squeeze-excite head, one linear layer", "head=linear"),
    _trial("unfrozen", "15, 25, 35 layers unfrozen in turn", "phases=progressive_lite"),
]


def main() -> None:
    warm = Trial({"variant": "warm"}, ("balance=none", "limit_epochs=1"))
    run_script(__doc__, "originals", RESULTS, SHARED, TRIALS, first=warm)


if __name__ == "__main__":
    main()
