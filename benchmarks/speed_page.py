"""Writes the tables of docs/speed.md from the CSVs.

    python benchmarks/speed_page.py

A test holds the page to what this gives.
"""

import pandas as pd
from marked import markdown, table_of, write_page

NAMES = {
    "training": "a training step, pictures and augmentation in it",
    "training in bfloat16": "the same in bfloat16",
    "training 15 layers on activations": "a step of the last 15 layers on cached activations",
    "constant part": "the part that does not train, as the cache, predict and serve run it",
}
WHOLES = {"ham10000": "all of HAM10000", "ham10000_fifth": "a fifth of HAM10000"}
NETWORKS = {"b1_se_lite": "Lite0", "b1_se": "B1"}
STAGES = {
    "prepare": "read the table, decode and check every picture, split",
    "ordinary": "a frozen epoch on pictures",
    "activations": "one view of every picture through the constant part",
    "cached": "three epochs on those, test, report",
    "evaluate": "judge the test table again",
    "predict": "answer every picture",
}


def whole_runs() -> str:
    """A whole schedule and a sweep of heads, cached beside ordinary."""
    rows = []
    schedule = table_of("schedule")
    for (dataset, experiment), part in schedule.groupby(["dataset", "experiment"], sort=False):
        row = part[part["seed"] == "median"].iloc[0]
        images, seeds = int(float(row["n_train"])), len(part) - 1
        times = f"median of {seeds} seeds" if seeds > 1 else "one seed"
        rows.append(
            [
                f"b1_se's schedule on {NETWORKS[experiment]} at 224 px, "
                f"{row['epochs'].removesuffix('.0')} epochs of {images:,} images "
                f"({WHOLES[dataset]}), {times}",
                f"{float(row['ordinary_seconds']):,.0f} s",
                f"{float(row['cached_seconds']):,.0f} s",
                f"**{float(row['ratio']):.1f}**",
            ]
        )
    for _, row in schedule[schedule["seed"] != "median"].iterrows():
        if row["returned_seconds"] != "":
            rows.append(
                [
                    f"{NETWORKS[row['experiment']]}, {WHOLES[row['dataset']]}, "
                    f"seed {row['seed']}, beside an ordinary path that gives freed memory back, "
                    "as a plain loop does",
                    f"{float(row['returned_seconds']):,.0f} s",
                    f"{float(row['cached_seconds']):,.0f} s",
                    f"**{float(row['returned_ratio']):.1f}**",
                ]
            )
    for _, row in table_of("head_sweep").iterrows():
        rows.append(
            [
                f"{row['trials']} trials over a head at {row['input_size']} px, {row['epochs']} "
                f"epochs each, {row['dataset']}",
                f"{float(row['ordinary_times_trials_seconds']):,.0f} s, reckoned: "
                f"{row['trials']} times one run of {float(row['ordinary_seconds']):,.0f} s",
                f"{float(row['sweep_seconds']):,.0f} s",
                f"**{float(row['speedup']):.0f}**",
            ]
        )
    return markdown(["what", "ordinary", "cached", "times"], rows)


def same_scores() -> str:
    """Validation scores of both paths by seed, one sentence."""
    table = table_of("schedule")
    table = table[(table["seed"] != "median") & (table["experiment"] == "b1_se_lite")]
    seeds = table[table["dataset"] == "ham10000_fifth"]
    pairs = _balanced(seeds)
    names = ("top1", "balanced_accuracy", "macro_f1", "nll")
    gaps = {
        name: seeds[f"cached_val_{name}"].astype(float)
        - seeds[f"ordinary_val_{name}"].astype(float)
        for name in names
    }
    told = ", ".join(
        f"{name.replace('_', ' ')} {gap.mean():+.3f} ({gap.min():+.3f} to {gap.max():+.3f})"
        for name, gap in gaps.items()
    )
    said = (
        f"Lite0's balanced accuracy on validation, ordinary and cached, seed by seed, on a fifth "
        f"of HAM10000: {'; '.join(pairs)}. Cached less ordinary, mean and range over the seeds: "
        f"{told}."
    )
    whole = table[table["dataset"] == "ham10000"]
    return said + (f" On all of it: {'; '.join(_balanced(whole))}." if len(whole) else "")


def _balanced(rows: pd.DataFrame) -> list[str]:
    return [
        f"{float(row['ordinary_val_balanced_accuracy']):.3f} and "
        f"{float(row['cached_val_balanced_accuracy']):.3f}"
        for _, row in rows.iterrows()
    ]


def steps() -> str:
    """Steps of ours beside those of others, taken in turns."""
    rows = [
        [
            NAMES[row["name"]],
            f"{row['input_size']} px, batch {row['batch_size']}",
            row["against"],
            f"{float(row['images_per_second']):.0f}",
            f"{float(row['against_images_per_second']):.0f}",
            f"**{float(row['ratio']):.2f}**",
        ]
        for _, row in table_of("steps").iterrows()
    ]
    for _, row in table_of("timm_script").iterrows():
        rows.append(
            [
                "an epoch of `dermasense.train`",
                f"{row['input_size']} px, batch {row['batch_size']}",
                f"timm {row['timm']}'s own train.py",
                f"{float(row['images_per_second']):.0f}",
                f"{float(row['timm_images_per_second']):.0f}",
                f"**{float(row['ratio']):.2f}**",
            ]
        )
    head = ["what", "input", "beside", "images/s", "theirs", "ratio"]
    return markdown(head, rows)


def start() -> str:
    """What a person waits for."""
    rows = [
        [row["name"].replace("--help", "`--help`"), f"{float(row['seconds']):.1f} s"]
        for _, row in table_of("startup").iterrows()
    ]
    return markdown(["from the shell to", "median"], rows)


def growth() -> str:
    """Stages at one to eight times the images: processor time an image, and memory."""
    table = table_of("scale")
    if table.empty:
        return "Not measured yet."
    sizes = list(dict.fromkeys(table["n"]))
    rows = []
    for stage, part in table.groupby("stage", sort=False):
        cells = [
            f"{float(row['ratio']):.2f} ({float(row['cpu_seconds']):,.0f} s), "
            f"{int(row['peak_anonymous_mib']):,} MiB"
            for _, row in part.iterrows()
        ]
        rows.append([STAGES[stage], *cells])
    pixels = ", ".join(table["input_size"].unique())
    return markdown([f"stage, at {pixels} px", *(f"{int(n):,} images" for n in sizes)], rows)


PARTS = {
    "whole runs": whole_runs,
    "same scores": same_scores,
    "steps": steps,
    "start": start,
    "growth": growth,
}


def main() -> None:
    write_page("speed", PARTS)


if __name__ == "__main__":
    main()
