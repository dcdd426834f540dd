"""Writes the tables of docs/commands.md from the commands themselves.

    python benchmarks/commands_page.py

A test holds the page to what this gives, so a command or option cannot be missing there.
"""

import contextlib
import importlib
import io
import sys
from collections import Counter
from pathlib import Path

from marked import with_parts

from dermasense.cli import BROKEN_PIPE
from dermasense.commands import commands
from dermasense.shell.candidates import ASKED

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "commands.md"
ON_PICTURES = "dermasense.on_pictures"  # imported by a command that may end with 3


def options(command: str) -> list[str]:
    """Its options as they are typed, the groups among them."""
    module = importlib.import_module(f"dermasense.{command}")
    before, sys.argv = sys.argv, [command, f"{ASKED}="]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            module.main()
    finally:
        sys.argv = before
    words = said.getvalue().split()
    whole = [word for word in words if word.endswith("=")]
    return whole + [word for word in words if word.endswith(".") and f"{word[:-1]}=" not in whole]


def all_options() -> dict[str, list[str]]:
    """Options by command."""
    return {name: options(name) for name in commands()}


def shared(found: dict[str, list[str]]) -> list[str]:
    """Options that more than one command has; cross_validate has all of train's."""
    others = [words for name, words in found.items() if name != "cross_validate"]
    counts = Counter(word for words in others for word in words)
    return sorted(word for word, count in counts.items() if count > 1)


def exit_codes(command: str) -> list[int]:
    """With which it may end."""
    source = (ROOT / "dermasense" / f"{command}.py").read_text(encoding="utf-8")
    return [0, 1, 2, *([3] if ON_PICTURES in source else []), 130, BROKEN_PIPE]


def table(found: dict[str, list[str]]) -> str:
    """The commands in Markdown."""
    lines = ["| command | what it is for | its options | exit codes |", "|---|---|---|---|"]
    for name, sentence in commands().items():
        words = found[name]
        shown = [f"`{word}{'..' if word.endswith('.') else ''}`" for word in words]
        if name == "cross_validate":
            own = [word for word in words if word not in found["train"]]
            shown = ["those of train", *[f"`{word}`" for word in own]]
        codes = ", ".join(map(str, exit_codes(name)))
        lines.append(f"| `{name}` | {sentence} | {' '.join(shown)} | {codes} |")
    return "\n".join(lines)


def page_with_table(page: str, found: dict[str, list[str]]) -> str:
    """The text of the page with the table between its two marks."""
    return with_parts(page, {"commands": lambda: table(found)})


if __name__ == "__main__":
    written = page_with_table(PAGE.read_text(encoding="utf-8"), all_options())
    PAGE.write_text(written, encoding="utf-8")
