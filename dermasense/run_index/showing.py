"""Runs as a table on screen, as CSV and as JSON, and two of them side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError
from dermasense.files import write_csv, write_json
from dermasense.overrides import flatten
from dermasense.reporting.tables import LEAKY_MEANS, NOT_DEFINED, aligned, number

COLUMNS = "run kind time state name data backbone protocol leaky seconds reason".split()
_SHOWN = {
    "val_balanced_accuracy": "val bal.acc",
    "val_n": "n",
    "test_top1": "test top-1",
    "test_balanced_accuracy": "bal.acc",
    "test_macro_f1": "macro-F1",
    "test_n": "n",
}


def runs_table(rows: Sequence[dict]) -> str:
    """One line a run; a leaky one says so, one that did not finish says why."""
    lines = [
        [
            row["run"],
            row["time"],
            row["state"],
            str(row.get("data", NOT_DEFINED)),
            str(row.get("backbone", NOT_DEFINED)),
            *[number(row.get(key)) for key in _SHOWN],
            "leaky" if row.get("leaky") else row["reason"],
        ]
        for row in rows
    ]
    head = ["run", "time", "state", "data", "backbone", *_SHOWN.values(), ""]
    table = aligned(head, lines, left=(0, 1, 2, 3, 4, len(head) - 1))
    if any(row.get("leaky") for row in rows):
        table += f"\n\nnote: leaky{LEAKY_MEANS}"
    return table


def plain(rows: Sequence[dict]) -> tuple[list[dict], list[str]]:
    """Rows without paths and settings, and their columns: what CSV and JSON hold."""
    known = dict.fromkeys(key for row in rows for key in row)
    metrics = [key for key in known if key.startswith(("val_", "test_"))]
    columns = [*COLUMNS, *metrics]
    return [{key: row.get(key) for key in columns} for row in rows], columns


def write_rows(rows: Sequence[dict], csv: str | None, json: str | None) -> list[Path]:
    """Writes the files that are asked for; returns their paths."""
    flat, columns = plain(rows)
    if csv:
        write_csv(Path(csv), flat, columns)
    if json:
        write_json(Path(json), flat)
    return [Path(path) for path in (csv, json) if path]


def named(rows: Sequence[dict], name: str) -> dict:
    """The one run of a name: its path, that below the root, or the end of either.

    Raises:
        DermaSenseError: none, or several.
    """
    name = name.rstrip("/")
    exact = [row for row in rows if name in (row["run"], str(row["path"]))]
    found = exact or [row for row in rows if f"/{row['run']}".endswith(f"/{name}")]
    if len(found) == 1:
        return found[0]
    if not found:
        raise DermaSenseError(f"compare: no run {name}; name one as the list does.")
    shown = ", ".join(row["run"] for row in found[:3])
    raise DermaSenseError(f"compare: {name} names {len(found)} runs ({shown}); say more of it.")


def comparison(first: dict, second: dict) -> str:
    """What differs in the two configurations, then the metrics side by side."""
    names = [first["run"], second["run"]]
    settings = [flatten(row["settings"]) for row in (first, second)]
    keys = sorted(set(settings[0]) | set(settings[1]))
    lines = [
        [key, *[_option(each, key) for each in settings]]
        for key in keys
        if settings[0].get(key, ...) != settings[1].get(key, ...)
    ]
    parts = [aligned(["option", *names], lines, left=(0, 1, 2)) if lines else "same options"]
    states = [row for row in (first, second) if row["state"] != "finished"]
    parts += [f"{row['run']} is {row['state']}. {row['reason']}".strip() for row in states]
    found = [key for key in plain([first, second])[1] if key.startswith(("val_", "test_"))]
    rows = [
        [key.replace("_", " ", 1), *[number(row.get(key)) for row in (first, second)]]
        for key in found
    ]
    parts += [aligned(["metric", *names], rows)] if rows else []
    parts += [f"note: {note}" for note in _notes(first, second)]
    return "\n\n".join(parts)


def _notes(first: dict, second: dict) -> list[str]:
    notes = []
    if any(first.get(key) != second.get(key) for key in ("data", "protocol", "test_n")):
        notes.append("numbers of different data, split protocols or images do not compare.")
    if first.get("leaky") or second.get("leaky"):
        notes.append(f"leaky{LEAKY_MEANS}")
    if first["state"] == second["state"] == "finished":
        both = f"{first['path']},{second['path']}"
        notes.append(
            "no interval stands here; for a paired comparison type "
            f"python -m dermasense.evaluate predictions={both}"
        )
    return notes


def _option(settings: dict[str, Any], key: str) -> str:
    return str(settings[key]) if key in settings else NOT_DEFINED
