"""The trials of a sweep as rows, read from their folders."""

from pathlib import Path
from typing import Any

from dermasense.files import read_json, read_yaml
from dermasense.run_folder import FAILED, RunFolder
from dermasense.sweeping.outcome import PRUNED
from dermasense.sweeping.plan import objectives

METRICS = ("top1", "top2", "balanced_accuracy", "macro_f1", "nll", "ece", "n", "n_groups")


def collect(folder: Path) -> list[dict]:
    """One row a trial: status, reason of failure, overrides, and the numbers of finished ones.

    Args:
        folder: folder of the sweep, a folder a trial in it.

    Returns:
        Rows in the order of trials: trial, status ("finished", "failed", "pruned", or "cut" by
        Ctrl-C or a kill), reason, overrides {option: value}, words (of the command line), monitor,
        better ("max" or "min" of it); of finished ones also best_score, val_<metric>, protocol,
        note, seconds, measure (what best_score is a number of) and data.
    """
    trials = [path.parent.parent for path in folder.glob("*/.hydra/overrides.yaml")]
    metrics = tuple(dict.fromkeys([*METRICS, *objectives(folder)]))
    ordered = sorted(trials, key=lambda path: (len(path.name), path.name))
    return [_row(trial, metrics) for trial in ordered]


def _row(trial: Path, metrics: tuple[str, ...]) -> dict:
    from dermasense.evaluation.metrics import MONITORS

    run = RunFolder(trial)
    row: dict[str, Any] = {"trial": trial.name, "status": "cut", "reason": ""}
    if run.finished.exists():
        known, finished = read_json(run.metrics), read_json(run.finished)
        row |= {f"val_{name}": known["val"].get(name) for name in metrics}
        row |= {"status": "finished", "best_score": finished["best"]["score"]}
        row |= {"seconds": finished["seconds"], "note": known.get("note", "")}
        row["protocol"] = known["protocol"]
    else:
        for name, status in ((PRUNED, "pruned"), (FAILED, "failed")):
            if (trial / name).is_file():
                row |= {"status": status, "reason": read_json(trial / name)["reason"]}
    if not run.config.is_file():
        words = read_yaml(trial / ".hydra" / "overrides.yaml") or []
    else:  # Hydra writes its own also for a trial that is refused since another lies there
        words, settings = run.read_config()
        row["monitor"] = monitor = settings["monitor"]
        outside = settings.get("metrics", {}).get(monitor, {})
        row["better"] = outside.get("better") or MONITORS.get(monitor)
        # The loss is a quantity of its own for each choice of loss and balancing.
        own = [settings["loss"], settings["balance"]] if monitor == "loss" else []
        row |= {"measure": [monitor, *own], "data": settings["data"]["source"]}
    own = (word for word in words if "=" in word and not word.startswith("hydra."))
    return row | {"words": words, "overrides": dict(word.split("=", 1) for word in own)}


def varied(rows: list[dict]) -> list[str]:
    """Options that trials gave different values, in the order of the command line."""
    options = dict.fromkeys(key for row in rows for key in row["overrides"])
    return [key for key in options if len({row["overrides"].get(key) for row in rows}) > 1]
