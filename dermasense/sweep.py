"""What a multirun leaves: its trials, best first, as CSV, page, on screen and in TensorBoard, and
the command of the best one.

Trials are ranked by the validation split alone; test numbers stay out of the table, so that nobody
chooses by them.
"""

import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from dermasense.run_folder import FAILED
from dermasense.sweeping.trials import METRICS, collect

__all__ = ["SweepSummary", "begun", "collect", "summarise_sweep", "summarised"]

SHOWN = ("val_top1", "val_balanced_accuracy", "val_macro_f1", "val_ece", "val_n")
COLUMNS = ["trial", "status", "monitor", "best_score", *[f"val_{name}" for name in METRICS]]
COLUMNS += ["protocol", "note", "seconds", "reason"]


# Folders of the sweeps that this process has begun: the trials may run in others.
begun: list[Path] = []


class SweepSummary(Callback):
    """Hydra callback: writes the summary when all trials have ended."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        begun.append(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        summarise_sweep(Path(config.hydra.sweep.dir))


@contextmanager
def summarised() -> Iterator[None]:
    """Around a command: the sweep that it begins is summarised however the command ends.

    Raises:
        KeyboardInterrupt: with what to type to go on, in place of one that says nothing.
        SystemExit: 1 where no trial finished.
    """
    begun.clear()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        for folder in begun:  # Hydra tells its callbacks only of a sweep that ran to its end
            summarise_sweep(folder)
        if begun and isinstance(error, KeyboardInterrupt) and not str(error):
            again = f"Go on with the same command and {shlex.quote(f'out={begun[0]}')}"
            raise KeyboardInterrupt(again) from None
        raise
    for folder in begun:
        trials = collect(folder)
        if trials and all(row["status"] == "failed" for row in trials):
            say = f"error: no trial finished ({len(trials)} failed); each says why in its {FAILED}"
            print(f"{say}, the first in {folder / trials[0]['trial']}", file=sys.stderr)
            sys.exit(1)


def summarise_sweep(folder: Path) -> None:
    """Writes table, page, TensorBoard HParams and best command of what lies in the folder."""
    rows = collect(folder)
    if rows:
        write_summary(folder, rows)


def write_summary(folder: Path, rows: list[dict]) -> None:
    """Writes `sweep.csv`, `sweep.html`, `best.txt` and HParams of rows, and prints the table."""
    from dermasense.files import write_text
    from dermasense.provenance import shell_line
    from dermasense.reporting.sweep_page import short, write_sweep_page
    from dermasense.reporting.tables import sweep_table
    from dermasense.sweeping.plan import objectives
    from dermasense.sweeping.ranking import less_is_better, notes_on, ranked
    from dermasense.sweeping.trials import varied

    metrics = objectives(folder)
    rows, by = ranked(rows, metrics)
    notes, options = notes_on(rows, by), varied(rows)
    _write_csv(folder / "sweep.csv", rows, metrics)
    _write_hparams(folder / "hparams", rows)
    command = ""
    if rows[0]["status"] == "finished":
        command = shell_line("train", *rows[0]["words"])
        write_text(folder / "best.txt", command + "\n")
    keys = [by, *[f"val_{metric}" for metric in list(metrics)[1:]]]
    scores = [(key, _name(key, rows), less_is_better(key, rows, metrics)) for key in keys]
    write_sweep_page(folder / "sweep.html", rows, options, scores, command=command, notes=notes)
    shown = [
        {**row, "overrides": {k: short(v) for k, v in row["overrides"].items() if k in options}}
        for row in rows
    ]
    print(f"\n{sweep_table(shown, metrics=SHOWN, notes=notes)}")
    if len(metrics) > 1:
        front = ", ".join(row["trial"] for row in rows if row["pareto"])
        print(f"\nPareto front of {', '.join(metrics)}: trials {front}")
    print(f"\nThe table lies in {folder / 'sweep.csv'}, the pictures in {folder / 'sweep.html'}")
    if command:
        print(f"Best trial, by {by} on the validation split: {command}")


def _name(key: str, rows: list[dict]) -> str:
    """The metric behind a key of the rows."""
    if key != "best_score":
        return key.removeprefix("val_")
    return next((row["monitor"] for row in rows if "monitor" in row), key)


def _write_csv(path: Path, rows: list[dict], metrics: Collection[str]) -> None:
    from dermasense.files import write_csv

    own = [f"val_{metric}" for metric in metrics if f"val_{metric}" not in COLUMNS]
    own += ["pareto"] if len(metrics) > 1 else []
    options = list(dict.fromkeys(key for row in rows for key in row["overrides"]))
    first = [*COLUMNS, *own]
    flat = [{**row["overrides"], **{key: row.get(key) for key in first}} for row in rows]
    write_csv(path, flat, list(dict.fromkeys([*first, *options])))


def _write_hparams(folder: Path, rows: list[dict]) -> None:
    """One summary a finished trial, in place of those of an earlier call."""
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    shutil.rmtree(folder, ignore_errors=True)
    for row in rows:
        scores = {
            key: value
            for key, value in row.items()
            if key.startswith("val_") and isinstance(value, int | float)
        }
        if row["status"] == "finished":
            options = {key: _typed(word) for key, word in row["overrides"].items()}
            with SummaryWriter(str(folder / row["trial"])) as writer:
                for summary in hparams(options, scores):
                    writer.file_writer.add_summary(summary)
                for key, value in scores.items():
                    writer.add_scalar(key, value)


def _typed(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word
