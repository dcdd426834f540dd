"""What was killed, and that nothing was lost or doubled: the committed table and its page."""

import csv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def rows() -> list[dict]:
    path = ROOT / "benchmarks" / "results" / "ray_kill.csv"
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_nothing_was_lost_or_doubled_by_any_kill():
    kills = {(row["task"], row["killed"]) for row in rows()}
    tasks, victims = ("sweep", "bulk prediction"), ("worker", "node")
    assert kills >= {(task, victim) for task in tasks for victim in victims}
    assert ("sweep", "command") in kills
    for row in rows():
        assert (row["lost"], row["doubled"], row["same_bytes"]) == ("0", "0", "True"), row


def test_the_page_shows_the_table():
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    shown = ("task", "killed", "when", "came_back", "ended")
    for row in rows():
        assert "| " + " | ".join(row[name] for name in shown) + " |" in page
