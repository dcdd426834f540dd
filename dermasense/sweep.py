"""What a multirun leaves: a table of its trials, best first, as CSV, on screen, in TensorBoard.

Trials are ranked by the validation split alone; test numbers stay out of the table, so that nobody
chooses by them.
"""

import shlex
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

METRICS = ("top1", "top2", "balanced_accuracy", "macro_f1", "nll", "ece", "n", "n_groups")
SHOWN = ("val_top1", "val_balanced_accuracy", "val_macro_f1", "val_ece", "val_n")
# Ranks trials whose own monitors are not one and the same quantity.
COMMON = "val_balanced_accuracy"
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


def summarise_sweep(folder: Path) -> None:
    """Writes `sweep.csv` and TensorBoard HParams of what lies in the folder; prints the table."""
    rows = collect(folder)
    if rows:
        write_summary(folder, rows)


def collect(folder: Path) -> list[dict]:
    """One row a trial: status, reason of failure, overrides, and the numbers of finished ones.

    Args:
        folder: folder of the sweep, a folder a trial in it.

    Returns:
        Rows in the order of trials: trial, status ("finished", "failed", or "cut" by Ctrl-C or a
        kill), reason, overrides {option: value}, monitor; of finished ones also best_score,
        val_<metric>, protocol, note, seconds, measure (what best_score is a number of) and data.
    """
    trials = [path.parent.parent for path in folder.glob("*/.hydra/overrides.yaml")]
    return [_row(trial) for trial in sorted(trials, key=lambda path: (len(path.name), path.name))]


def _row(trial: Path) -> dict:
    import yaml

    from dermasense.files import read_json
    from dermasense.run_folder import RunFolder

    run = RunFolder(trial)
    words = yaml.safe_load((trial / ".hydra" / "overrides.yaml").read_text(encoding="utf-8")) or []
    overrides = dict(word.split("=", 1) for word in words if "=" in word)
    row: dict = {"trial": trial.name, "status": "cut", "reason": "", "overrides": overrides}
    row["words"] = words
    if (trial / "failed.json").exists():
        row |= {"status": "failed", "reason": read_json(trial / "failed.json")["reason"]}
    elif run.finished.exists():
        metrics, finished = read_json(run.metrics), read_json(run.finished)
        row |= {f"val_{name}": metrics["val"].get(name) for name in METRICS}
        row |= {"status": "finished", "best_score": finished["best"]["score"]}
        row |= {"seconds": finished["seconds"], "note": metrics.get("note", "")}
        row["protocol"] = metrics["protocol"]
    if run.config.is_file():
        settings = run.read_config()[1]
        row["monitor"] = monitor = settings["monitor"]
        # The loss is a quantity of its own for each choice of loss and balancing.
        own = [settings["loss"], settings["balance"]] if monitor == "loss" else []
        row |= {"measure": [monitor, *own], "data": settings["data"]["source"]}
    return row


def ranked(rows: list[dict]) -> tuple[list[dict], str]:
    """Rows, best first, those without a score last; and what ranked them.

    Returns:
        Also "best_score" where all finished trials monitor the same quantity, else `COMMON`.
    """
    from dermasense.evaluation.metrics import MONITORS

    finished = [row for row in rows if row["status"] == "finished"]
    same = all(row["measure"] == finished[0]["measure"] for row in finished)
    by = "best_score" if same else COMMON
    lower = same and bool(finished) and MONITORS[finished[0]["monitor"]] == "min"

    def place(row: dict) -> tuple[bool, float]:
        score = row.get(by)
        return score is None, (score or 0.0) * (1 if lower else -1)

    return sorted(rows, key=place), by


def notes_on(rows: list[dict], by: str) -> list[str]:
    """What must be said beside the table: of what the numbers are, and what does not compare."""
    finished = [row for row in rows if row["status"] == "finished"]
    notes = list(dict.fromkeys(row["note"] for row in finished if row["note"]))
    if by == COMMON:
        notes.append(f"the trials monitor different quantities, so {COMMON} ranks them.")
    first = finished[0] if finished else {}
    if any(row[key] != first[key] for row in finished for key in ("data", "protocol")):
        notes.append("numbers of different data or split protocols do not compare.")
    return notes


def write_summary(folder: Path, rows: list[dict]) -> None:
    """Writes `sweep.csv` and HParams into the folder of the sweep, and prints the table."""
    from dermasense.files import write_csv
    from dermasense.reporting.tables import sweep_table

    rows, by = ranked(rows)
    options = list(dict.fromkeys(key for row in rows for key in row["overrides"]))
    columns = [*COLUMNS, *[key for key in options if key not in COLUMNS]]
    flat = [{**row["overrides"], **row} for row in rows]
    write_csv(folder / "sweep.csv", [{k: row.get(k) for k in columns} for row in flat], columns)
    _write_hparams(folder / "hparams", rows)
    table = sweep_table(rows, metrics=SHOWN, notes=notes_on(rows, by))
    print(f"\n{table}\n\nThe table lies in {folder / 'sweep.csv'}")
    if rows[0]["status"] == "finished":
        command = ["python", "-m", "dermasense.train", *rows[0]["words"]]
        print(f"Best trial, by {by} on the validation split: {shlex.join(command)}")


def _write_hparams(folder: Path, rows: list[dict]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for row in rows:
        scores = {
            key: value
            for key, value in row.items()
            if key.startswith("val_") and isinstance(value, int | float)
        }
        with SummaryWriter(str(folder / row["trial"])) as writer:
            writer.add_hparams(row["overrides"], scores, run_name=".")
