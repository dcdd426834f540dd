"""`python -m dermasense.prepare`: get a public data set, or lay out the files you have.

Research software, not a medical device.
"""

from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError

# `data` is a group of the configuration, which Hydra would look up; here it is a plain name.
PLAIN = {"data": "name", "data.root": "root"}


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "prepare", texts=("name", "root", "source"), renamed=PLAIN)


def start(settings: dict) -> None:
    """Fetches what is needed, lays it out below the root and says what is there."""
    from dermasense.data.fetch import NAMES, data_set

    if settings["name"] is None:
        raise DermaSenseError(f"data= is needed, one of {', '.join(NAMES)}.")
    chosen = data_set(str(settings["name"]))
    root = Path(str(settings["root"] or f"data/{chosen.name}"))
    # pooch and requests are not needed to say the above.
    from dermasense.data.fetch.assemble import DOWNLOADS, already_there, assemble
    from dermasense.data.fetch.download import fetch

    if there := already_there(chosen, root):
        print(f"{root} is prepared already: {there:,} images. {_next(chosen, root)}")
        return
    print(f"{chosen.title}\nLicence: {chosen.licence}\nCite: {chosen.citation}\n{chosen.page}")
    if settings["source"]:
        source = Path(str(settings["source"]))
    else:
        source = fetch(chosen, root / DOWNLOADS)
    prepared = assemble(chosen, source, root)
    _show(chosen, prepared)
    if not settings["source"]:
        print(f"{source} is no longer needed and may be deleted.")


def _show(chosen: Any, prepared: Any) -> None:
    groups = f" in {prepared.groups:,} groups" if prepared.groups else ""
    print(f"\n{prepared.root}: {prepared.images:,} images{groups}")
    for name, count in prepared.classes.items():
        print(f"  {name:<40} {count:>7,}")
    for sentence in prepared.left_out:
        print(f"left out: {sentence}")
    if chosen.images and prepared.images != chosen.images:
        print(f"The publisher's set has {chosen.images:,} images.")
    if chosen.note:
        print(chosen.note)
    print(_next(chosen, prepared.root))


def _next(chosen: Any, root: Path) -> str:
    return f"Read it with: {chosen.words} data.root={root}"


if __name__ == "__main__":
    main()
