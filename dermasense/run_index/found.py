"""Every run under a folder as a row, also one that was cut, failed or is damaged.

Nothing here imports what takes time: hundreds of runs are listed in a second.
"""

import datetime
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError
from dermasense.evaluation.protocol import is_leaky
from dermasense.files import read_json, read_yaml
from dermasense.run_folder import FAILED, LOCK, PLAN, SWEEP, RunFolder, of_hydra
from dermasense.sweeping.outcome import PRUNED

CACHE, DEEPEST = "cache", 6
JOBS = ("train", "cross_validate")  # the commands whose folders Hydra makes
_TIME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")
_ENSEMBLE = "bundle/ensemble.json"


def find_runs(root: Path) -> list[dict]:
    """A row a run under `root`, in no order; links are not followed, `cache` is left out.

    Returns:
        Rows with run (path below root), path, kind ("run", "trial" of a sweep, "fold", "cv" for a
        whole cross-validation, "ensemble"), time, state ("finished", "unfinished", "running",
        "failed", "pruned", "damaged"), reason, name, data, backbone, protocol, leaky,
        <split>_<metric> of the splits val and test (of a cross-validation: test is out of fold),
        and settings, the whole configuration.
    """
    return [_row(path, root, kind) for path, kind in _walk(root, "run", 0)]


def _walk(folder: Path, inside: str, depth: int) -> Iterator[tuple[Path, str]]:
    entries = {entry.name: entry for entry in _entries(folder)}
    if PLAN in entries:
        yield folder, "cv"
        inside = "fold"
    elif SWEEP in entries:
        inside = "trial"
    elif depth and _is_run(entries):
        yield folder, "ensemble" if (folder / _ENSEMBLE).is_file() else inside
        return
    if depth < DEEPEST:
        for name, entry in entries.items():
            hidden = name.startswith(".") or (depth == 0 and name == CACHE)
            if not hidden and entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / name, inside, depth + 1)


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:  # not ours to read, or gone meanwhile
        return []


def _is_run(names: Collection[str]) -> bool:
    marks = ("config.yaml", "finished.json", FAILED, PRUNED)
    whole = {"bundle", "metrics.json"} <= set(names)
    return any(mark in names for mark in marks) or whole or _never_began(names)


def _never_began(names: Collection[str]) -> bool:
    """Whether nothing lies there but what our commands make first: others use Hydra, too."""
    return LOCK in names and any(set(names) <= of_hydra(job) for job in JOBS)


def _row(path: Path, root: Path, kind: str) -> dict:
    row: dict[str, Any] = {"run": str(path.relative_to(root)), "path": path, "kind": kind}
    row |= {"time": _time(path), "state": "unfinished", "reason": "", "settings": {}}
    run = RunFolder(path)
    try:
        _read(run, row)
    except DermaSenseError as error:
        row |= {"state": "damaged", "reason": str(error)[:200]}
    except Exception as error:  # whatever a half-written or foreign folder holds
        words = " ".join(str(error).split())
        row |= {"state": "damaged", "reason": f"{type(error).__name__}: {words}"[:200]}
    if row["state"] in ("unfinished", "failed") and is_held(path):
        row |= {"state": "running", "reason": ""}
    return row


def _read(run: RunFolder, row: dict) -> None:
    path = run.path
    if run.config.is_file():
        row["settings"] = settings = _mapping(read_yaml(run.config), "config.yaml")
        row["name"] = settings["name"]
        row["data"], row["backbone"] = settings["data"]["name"], settings["model"]["backbone"]
    if row["kind"] == "cv":
        plan = _mapping(read_json(path / PLAN), PLAN)
        settings = plan["settings"]
        row |= {"name": settings["name"], "settings": settings}
        row |= {"data": settings["data"]["name"], "backbone": settings["model"]["backbone"]}
    whole = row["kind"] in ("cv", "ensemble")
    if run.finished.is_file() or (whole and run.metrics.is_file()):
        metrics = _mapping(read_json(run.metrics), "metrics.json")
        splits = {"test": metrics} if whole else {s: metrics[s] for s in ("val", "test")}
        row |= {f"{s}_{k}": v for s, m in splits.items() for k, v in _numbers(m).items()}
        row |= {"protocol": metrics["protocol"], "state": "finished"}
        row["leaky"] = is_leaky(metrics["protocol"])
        if not whole:
            row["seconds"] = _mapping(read_json(run.finished), "finished.json")["seconds"]
    elif (path / PRUNED).is_file():
        row |= {"state": "pruned", "reason": read_json(path / PRUNED)["reason"]}
    elif (path / FAILED).is_file():
        row |= {"state": "failed", "reason": read_json(path / FAILED)["reason"]}
    elif _never_began(os.listdir(path)):
        row |= {"state": "failed", "reason": "no config.yaml: refused or cut before it began"}
    elif not whole and not (run.config.is_file() and run.environment.is_file()):
        row |= {"state": "damaged", "reason": "lacks config.yaml or environment.json"}


def is_held(path: Path) -> bool:
    """Whether a process is at work in a run folder."""
    try:
        import fcntl

        # Shared: it needs no right to write into somebody else's folder.
        with open(path / LOCK) as handle:
            fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, FileNotFoundError):
        return False
    except OSError:
        return True
    return False


def _numbers(metrics: dict) -> dict[str, float]:
    """Single numbers of a summary; of a judged one, the values without their intervals."""
    plain = {k: v.get("value") if isinstance(v, dict) else v for k, v in metrics.items()}
    return {k: v for k, v in plain.items() if isinstance(v, int | float) and k != "seed"}


def _time(path: Path) -> str:
    found = _TIME.findall(path.name)
    if found:
        day, clock = found[-1].split("_")
        return f"{day} {clock.replace('-', ':')}"
    place = path / "config.yaml"
    try:
        stamp = (place if place.is_file() else path).stat().st_mtime
    except OSError:
        return ""
    return datetime.datetime.fromtimestamp(stamp).strftime("%Y-%m-%d %H:%M:%S")


def _mapping(value: Any, name: str) -> dict:
    if not isinstance(value, dict):
        raise DermaSenseError(f"{name} holds no options")
    return value
