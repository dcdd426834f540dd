"""Trials of an ablation: the train command again and again, one option changed, and their rows.

Each trial is a process of its own, so that its processor time and peak memory are its own. Its
run folder stays in the folder of the work: a trial that is finished there is not run again, one
that was cut goes on.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dermasense.evaluation.bootstrap import Interval, interval, jackknifed, resampled
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.evaluation.scores import Scores
from dermasense.files import read_csv, read_json, write_csv, write_json
from dermasense.provenance import commit, machine
from dermasense.run_folder import RunFolder

METRICS = ("balanced_accuracy", "macro_f1", "top1", "ece")
COST = ("cpu_seconds", "wall_seconds", "peak_mb", "epochs")
ALL = "all"  # in the place of a seed: the mean over them


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        about: its columns in the table, the first of them its name.
        words: of the train command, besides those that all trials share.
        bases: trials to which it is compared, by the same seeds; a row of the mean for each.
    """

    about: dict[str, str]
    words: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return next(iter(self.about.values()))


@dataclass
class Ablation:
    """A table of trials on one split.

    Args:
        table: the CSV; rows that stand in it stay.
        work: run folders and caches.
        dataset: its name.
        shared: words of the train command that all trials share, without places.
        places: where the data and the cache lie; kept out of the table.
        seeds: of training; the split is the same for all.
        script: how the table is made, for its rows.
        order: of the trials in the table.
        resamples: bootstrap draws.
    """

    table: Path
    work: Path
    dataset: str
    shared: Sequence[str]
    places: Sequence[str]
    seeds: Sequence[int]
    script: str
    order: Sequence[Trial] = ()
    resamples: int = 2000
    _scored: dict[str, "Scored"] = field(default_factory=dict)

    def walk(self, trials: Sequence[Trial]) -> None:
        """Runs what is absent, and writes the table after every trial."""
        trials = list(trials)
        rows = self._standing()
        for trial in trials:
            wanted = [(str(seed), "") for seed in self.seeds]
            wanted += [(ALL, base) for base in trial.bases or ("",)]
            if all((trial.name, *key) in rows for key in wanted):
                continue
            for seed in self.seeds:
                self.run(trial, seed)
            rows = {key: row for key, row in rows.items() if key[0] != trial.name}
            rows |= {(trial.name, str(row["seed"]), row["base"]): row for row in self.rows(trial)}
            order = {each.name: place for place, each in enumerate(self.order or trials)}
            kept = sorted(rows.items(), key=lambda each: order.get(each[0][0], len(order)))
            write_csv(self.table, [row for _, row in kept], self.columns(trial))
            print(f"{self.table}: {trial.name} stands", flush=True)

    def run(self, trial: Trial, seed: int) -> None:
        """One run of the train command, or what is left of it."""
        run = RunFolder(self._folder(trial, seed))
        if run.finished.exists():
            return
        words = [*self.words(trial, seed), *self.places, f"hydra.run.dir={run.path}"]
        if run.config.is_file():
            words = [f"resume={run.path}"]
        print(f"{trial.name}, seed {seed}", flush=True)
        cost = self._cost(trial, seed)
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "dermasense.train", *words],
            stdout=subprocess.DEVNULL,
            stderr=None,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cost["wall_seconds"] += time.perf_counter() - began
        cost["cpu_seconds"] += usage.ru_utime + usage.ru_stime
        cost["peak_mb"] = max(cost["peak_mb"], usage.ru_maxrss / 1024)  # Linux: KiB
        self.work.mkdir(parents=True, exist_ok=True)
        write_json(self._cost_file(trial, seed), cost)
        if process.returncode or not run.finished.exists():
            raise SystemExit(f"{trial.name}, seed {seed}: failed; see {run.path}")

    def words(self, trial: Trial, seed: int) -> list[str]:
        """Of the train command; a trial's own word takes the place of a shared one."""
        said = [*self.shared, *trial.words, f"seed={seed}"]
        return list({word.partition("=")[0]: word for word in said}.values())

    def rows(self, trial: Trial) -> list[dict]:
        """A row a seed, then the mean over seeds with its difference to each base."""
        scored = self.scored(trial.name)
        about = {"dataset": self.dataset, **trial.about}
        end = {"n": scored.n, "n_groups": scored.n_groups, "script": self.script}
        end |= {"commit": commit(), "machine": machine()}
        rows, costs = [], []
        for number, seed in enumerate(self.seeds):
            cost = self._cost(trial, seed)
            cost["epochs"] = len(pd.read_csv(RunFolder(self._folder(trial, seed)).history))
            costs.append({key: round(float(cost[key]), 1) for key in COST})
            row = {**about, "seed": seed, "base": "", "split": "test", **costs[-1]}
            for metric in METRICS:
                row |= _ends(metric, scored.one(metric, number))
            words = [*self.words(trial, seed), "data.root=DIR"]
            command = f"python -m dermasense.train {' '.join(words)}"
            rows.append({**row, **end, "command": command})
        mean = {key: round(float(np.mean([cost[key] for cost in costs])), 1) for key in COST}
        for base in trial.bases or ("",):
            row = {**about, "seed": ALL, "base": base, "split": "test", **mean}
            for metric in METRICS:
                row |= _ends(metric, scored.mean(metric))
                row[f"{metric}_sd"] = round(scored.spread(metric), 4)
                if base:
                    row |= _ends(f"{metric}_gain", scored.minus(self.scored(base), metric))
            rows.append({**row, **end, "command": self.script})
        return rows

    def scored(self, name: str) -> "Scored":
        """The test tables of a trial, a seed each, resampled together."""
        if name not in self._scored:
            folders = [self.work / f"{name}_{seed}" for seed in self.seeds]
            tables = [read_predictions(RunFolder(each).predictions("test")) for each in folders]
            self._scored[name] = Scored(tables, self.resamples)
        return self._scored[name]

    def columns(self, trial: Trial) -> list[str]:
        """Of the table, in order."""
        ends = ("", "_low", "_high", "_sd", "_gain", "_gain_low", "_gain_high")
        scores = [f"{metric}{end}" for metric in METRICS for end in ends]
        about = ["dataset", *trial.about, "seed", "base", "split", *scores, *COST]
        return [*about, "n", "n_groups", "script", "command", "commit", "machine"]

    def _standing(self) -> dict[tuple[str, str, str], dict]:
        rows = read_csv(self.table, missing_ok=True)
        return {(list(row.values())[1], row["seed"], row["base"]): row for row in rows}

    def _folder(self, trial: Trial, seed: int) -> Path:
        return self.work / f"{trial.name}_{seed}"

    def _cost_file(self, trial: Trial, seed: int) -> Path:
        return self.work / f"{trial.name}_{seed}.json"

    def _cost(self, trial: Trial, seed: int) -> dict[str, float]:
        file = self._cost_file(trial, seed)
        return read_json(file) if file.exists() else dict.fromkeys(COST, 0.0)


class Scored:
    """Tables of the same test images, one a seed, each resampled by the same draws of lesions.

    Args:
        tables: of the seeds.
        resamples: bootstrap draws.
    """

    def __init__(self, tables: Sequence[Predictions], resamples: int) -> None:
        scores = [Scores(table, ranking=False) for table in tables]
        self.points = [{k: float(v[0]) for k, v in each(_once(each)).items()} for each in scores]
        self.draws = [resampled(each, resamples, 0) for each in scores]
        self.left_out = [jackknifed(each, 0) for each in scores]
        self.behind = scores[0].behind()
        self.n, self.n_groups = len(tables[0]), tables[0].n_groups

    def one(self, metric: str, number: int) -> Interval:
        """Of one seed."""
        draws, left_out = self.draws[number][metric], self.left_out[number][metric]
        return interval(metric, self.points[number][metric], draws, left_out, self.behind[metric])

    def mean(self, metric: str) -> Interval:
        """Mean over the seeds; its interval is over lesions, for these very seeds."""
        return interval(metric, *self._means(metric), self.behind[metric])

    def minus(self, base: "Scored", metric: str) -> Interval:
        """Mean over the seeds minus that of another trial, on the same draws of lesions."""
        pairs = zip(self._means(metric), base._means(metric), strict=True)
        return interval(metric, *(a - b for a, b in pairs), self.behind[metric], difference=True)

    def spread(self, metric: str) -> float:
        """Standard deviation over the seeds."""
        values = [each[metric] for each in self.points]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def _means(self, metric: str) -> tuple[float, np.ndarray, np.ndarray]:
        return (
            float(np.mean([each[metric] for each in self.points])),
            np.mean([each[metric] for each in self.draws], axis=0),
            np.mean([each[metric] for each in self.left_out], axis=0),
        )


def _once(scores: Scores) -> np.ndarray:
    return np.ones((scores.n_groups, 1))


def _ends(name: str, found: Interval) -> dict[str, float | str]:
    values = {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return {key: "" if value is None else round(value, 4) for key, value in values.items()}


def run_script(
    doc: str,
    name: str,
    results: Path,
    shared: Sequence[str],
    trials: Sequence[Trial],
    first: Trial | None = None,
) -> None:
    """The command line of an ablation on HAM10000: `python benchmarks/<name>.py data.root=DIR`.

    Args:
        doc: what the script does.
        name: of the script and of its folder below outputs/.
        results: the table.
        shared: words of the train command that all trials share.
        trials: in the order of the table.
        first: run before all others and kept out of the table, to decode the pictures.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("root", help="data.root=DIR, the folder of HAM10000")
    parser.add_argument("--only", nargs="+", choices=[each.name for each in trials])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path(f"outputs/{name}"), help="run folders")
    parser.add_argument("--results", type=Path, default=results)
    options = parser.parse_args()
    work = options.work.resolve()
    ablation = Ablation(
        options.results,
        work,
        "ham10000",
        shared,
        [f"data.root={options.root.removeprefix('data.root=')}", f"cache_dir={work / 'cache'}"],
        options.seeds,
        f"python benchmarks/{name}.py data.root=DIR",
        trials,
    )
    if first:
        ablation.run(first, 0)
    ablation.walk([each for each in trials if not options.only or each.name in options.only])
