"""What a multirun leaves: a table of its trials, best first, as CSV, on screen, in TensorBoard.

Trials are ranked by the validation split alone; test numbers stay out of the table, so that nobody
chooses by them.
"""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

SHOWN = ("top1", "top2", "balanced_accuracy", "macro_f1", "nll", "ece", "n", "n_groups")


class SweepSummary(Callback):
    """Hydra callback: writes `sweep.csv` and TensorBoard HParams when all trials have ended."""

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        from omegaconf import OmegaConf

        folder = Path(config.hydra.sweep.dir)
        rows = collect(folder, str(OmegaConf.select(config, "monitor")))
        if rows:
            write_summary(folder, rows)


def collect(folder: Path, monitor: str) -> list[dict]:
    """One row a trial: its overrides, status, reason of failure, monitored score and metrics.

    Args:
        folder: folder of the sweep, a folder a trial in it.
        monitor: the metric that ranks.

    Returns:
        Rows, best first, failed trials last; {} where the folder holds no trial.
    """
    import yaml

    from dermasense.evaluation.metrics import MONITORS
    from dermasense.files import read_json

    rows = []
    for trial in sorted(folder.glob("*/.hydra/overrides.yaml")):
        run = trial.parent.parent
        overrides = yaml.safe_load(trial.read_text(encoding="utf-8")) or []
        row: dict = {"trial": run.name, "status": "cut", "reason": ""}
        row |= dict(override.split("=", 1) for override in overrides if "=" in override)
        if (run / "failed.json").exists():
            row |= {"status": "failed", "reason": read_json(run / "failed.json")["reason"]}
        elif (run / "finished.json").exists():
            scores = read_json(run / "metrics.json")["val"]
            row |= {"status": "finished"} | {f"val_{name}": scores.get(name) for name in SHOWN}
            row["protocol"] = scores["protocol"]
            row["seconds"] = read_json(run / "finished.json")["seconds"]
            row[f"best_{monitor}"] = read_json(run / "finished.json")["best"]["score"]
        rows.append(row)
    sign = -1 if MONITORS.get(monitor) == "max" else 1
    best = f"best_{monitor}"
    return sorted(rows, key=lambda row: (best not in row, sign * row.get(best, 0.0)))


def write_summary(folder: Path, rows: list[dict]) -> None:
    """Writes `sweep.csv` and HParams into the folder of the sweep, and prints the table."""
    from dermasense.files import write_csv
    from dermasense.reporting.tables import sweep_table

    best = next((key for key in rows[0] if key.startswith("best_")), "best_")
    trials = [
        {
            **row,
            "overrides": {k: v for k, v in row.items() if _is_option(k)},
            "error": row["reason"],
        }
        for row in rows
    ]
    shown = [f"val_{name}" for name in ("top1", "balanced_accuracy", "macro_f1", "ece", "n")]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_csv(folder / "sweep.csv", rows, columns)
    _write_hparams(folder / "hparams", rows)
    table = sweep_table(trials, monitor=best, metrics=shown)
    print(f"\n{table}\n\nThe table lies in {folder / 'sweep.csv'}")
    if rows[0]["status"] == "finished":
        overrides = [f"{key}={value}" for key, value in rows[0].items() if _is_option(key)]
        print("Best trial: " + " ".join(["python -m dermasense.train", *overrides]))


def _write_hparams(folder: Path, rows: list[dict]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for row in rows:
        options = {key: value for key, value in row.items() if _is_option(key)}
        scores = {
            key: value
            for key, value in row.items()
            if key.startswith("val_") and isinstance(value, int | float)
        }
        with SummaryWriter(str(folder / row["trial"])) as writer:
            writer.add_hparams(options, scores, run_name=".")


def _is_option(key: str) -> bool:
    made = ("trial", "status", "reason", "protocol", "seconds")
    return key not in made and not key.startswith(("val_", "best_"))
