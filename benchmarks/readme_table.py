"""Writes the table of results in README.md from benchmarks/results/*.csv.

    python benchmarks/readme_table.py

A test holds README to what this gives, so a number there is always one of the tables.
"""

from marked import RESULTS, ROOT, counted, markdown, published, with_interval, with_parts

from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.predictions import read_predictions
from dermasense.files import read_csv, write_text

SCORES = ("top1", "balanced_accuracy", "macro_f1")
RESAMPLES = 1000
HEAD = ["data", "system", "judged", "images (groups)", "top-1", "balanced accuracy", "macro-F1"]
# Always nv, from HAM10000's class counts; the originals' own reports.
BLIND = ["ham10000", "*always nv*", "-", "10,015", ".669", ".143", ".115"]
B1_SE = [
    "ham10000",
    "original b1_se, *as reported* by its project",
    "one split, not grouped",
    "1,503",
]
B4_WEIGHTED = ["21 conditions", "original b4_weighted, *as reported* by its project", "-", "-"]
EXTERNAL = {  # of external.csv
    "ham_pool_folds": "the 15 networks of ham_pool as one",
    "ham_pool_folds_half_prior": "the same less half the log prior",
}
PUBLISHED = (  # of published.csv
    "EfficientNet-B4 at 384 px, best variant, one seed, 5 views",
    "ConvNeXt-Tiny, trained on ISIC 2019 as well, 4 views",
    "EfficientNet-B4 at 384 px, five folds as one, mean of 3 seeds",
)
UNFOUND = "*as reported*, source not found again"
LESION = "_lesion"  # in the name of a system that answers all photographs of a lesion together
BESIDE = {
    "ham10000": [BLIND, [*B1_SE, ".712", "-", "-"]],
    "fitzpatrick21": [[*B4_WEIGHTED, ".619", "-", ".64"]],
}


def table() -> str:
    """The table in Markdown: the best of the leaderboard, external tests, single splits, others'.

    A score stands with its 95 % interval by bootstrap over groups.
    """
    splits, rows = read_csv(RESULTS / "ham10000.csv"), []
    external = read_csv(RESULTS / "external.csv")
    others = [row for row in published() if row["system"] in PUBLISHED]
    for dataset, beside in BESIDE.items():
        rows += [_out_of_fold(row) for row in _best(dataset)]
        rows += [_outside(name, external) for name in EXTERNAL if dataset == "ham10000"]
        rows += [_of_split(row) for row in splits if row["dataset"] == dataset]
        rows += beside
        rows += [_of_others(row) for row in others if dataset == "ham10000"]
    return markdown(HEAD, rows)


def _of_split(row: dict) -> list[str]:
    table = read_predictions(RESULTS / row["predictions"])
    found = intervals(table, resamples=RESAMPLES, ranking=False)
    ends = {f"{s}_{end}": str(getattr(found[s], end)) for s in SCORES for end in ("low", "high")}
    where = f"{row['backbone'].removeprefix('tf_')}, {row['input_size']} px"
    return [
        row["dataset"],
        f"`{row['experiment']}` ({where})",
        f"one split, {row['protocol']}",
        counted(row),
        *(with_interval(row | ends, score) for score in SCORES),
    ]


def _best(dataset: str) -> list[dict]:
    """The systems of five whole folds that lead by top-1 and by balanced accuracy.

    Those of all photographs of a lesion lead on their own, after those of one photograph.
    """
    board = read_csv(RESULTS / f"{dataset}_oof.csv")
    whole = [row for row in board if row["folds"] == "5" and row["networks"]]
    first = []
    for more in (False, True):
        alike = [row for row in whole if (LESION in row["system"]) == more]
        first += [max(alike, key=lambda row: float(row[score])) for score in SCORES[:2] if alike]
    return list({row["system"]: row for row in first}.values())


def _outside(name: str, external: list[dict]) -> list[str]:
    """A row on the external set, of which the model has seen no image."""
    of = {row["metric"]: row for row in external if row["experiment"] == name}
    first, cells = of[SCORES[0]], []
    for score in SCORES:
        ends = ("", "_low", "_high")
        cells.append(with_interval({f"x{e}": of[score][f"external{e}"] for e in ends}, "x"))
    judged = f"external, trained on {first['dataset']}"
    return [first["tested_on"], f"`{name}`: {EXTERNAL[name]}", judged, first["n"], *cells]


def _of_others(row: dict) -> list[str]:
    scores = (with_interval(row, score) for score in SCORES)
    source = f"[as reported]({row['source']})" if row["source"].startswith("http") else UNFOUND
    return [row["dataset"], f"{row['system']}, {source}", row["judged"], "-", *scores]


def _out_of_fold(row: dict) -> list[str]:
    return [
        row["dataset"],
        f"`{row['system']}`: {row['about']}; {_cost(row)}",
        "5 folds, grouped",
        counted(row),
        *(with_interval(row, score) for score in SCORES),
    ]


def _cost(row: dict) -> str:
    """What answers one image: "3 networks, 54 passes, 45 GFLOPs"."""
    networks = row["networks"].split()  # each as lite2@200x18: 18 views at 200 px
    passes = sum(int(each.partition("@")[2].partition("x")[2] or 1) for each in networks)
    return f"{len(networks)} networks, {passes} passes, {float(row['gflops']):.0f} GFLOPs"


def readme_with_table(readme: str) -> str:
    """README's text with the table between its two marks."""
    return with_parts(readme, {"results": table})


if __name__ == "__main__":
    path = ROOT / "README.md"
    write_text(path, readme_with_table(path.read_text(encoding="utf-8")))
    print(table())
