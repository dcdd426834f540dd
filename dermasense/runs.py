"""`python -m dermasense.runs`: list the runs under outputs/, compare two, clean up.

Research software, not a medical device.
"""

from pathlib import Path

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    texts = ("root", "sort", "filter", "csv", "json")
    tool_command(start, "runs", texts=texts, lists=("compare", "clean"))


def start(settings: dict) -> None:
    """Lists what was chosen, and writes, compares or cleans where that is asked for."""
    from dermasense.run_index.choosing import chosen, ordered
    from dermasense.run_index.found import find_runs
    from dermasense.run_index.showing import runs_table, write_rows

    root = Path(settings["root"])
    if not root.is_dir():
        raise DermaSenseError(f"root={root}: no such folder; name the one that runs lie in.")
    found = find_runs(root)
    if settings["compare"] is not None:
        return _compare(found, settings["compare"])
    rows = ordered(chosen(found, settings["filter"]), settings["sort"])
    if settings["clean"] is not None:
        running = [row["run"] for row in found if row["state"] == "running"]
        return _clean(root, rows, settings["clean"], settings["yes"], running)
    print(runs_table(rows))
    print(f"\n{len(rows)} of {len(found)} runs in {root}")
    for path in write_rows(rows, settings["csv"], settings["json"]):
        print(path)
    return None


def _compare(found: list[dict], names: list[str]) -> None:
    from dermasense.run_index.showing import comparison, named

    if len(names) != 2:
        raise DermaSenseError(f"compare: two runs are needed, and {len(names)} are named.")
    print(comparison(*[named(found, str(name)) for name in names]))


def _clean(root: Path, rows: list[dict], what: list[str], yes: bool, running: list[str]) -> None:
    from dermasense.run_index.cleaning import leftovers, remove
    from dermasense.run_index.showing import aligned

    found = leftovers(root, rows, [str(word) for word in what], running)
    if not found:
        print(f"nothing to clean in {root}")
        return
    lines = [[str(g.path), f"{g.size / 1e6:.1f}", str(g.files), g.why] for g in found]
    print(aligned(["folder", "MB", "files", ""], lines, left=(0, 3)))
    if not yes:
        print(f"\n{len(found)} folders would go; add yes=true to delete them")
        return
    left = remove(root, found)
    print("\n".join(["", *left, f"{len(found) - len(left)} folders are deleted"]))


if __name__ == "__main__":
    main()
