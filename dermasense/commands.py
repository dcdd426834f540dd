"""The commands: every module of the package that has a configuration of its own name."""

import ast
from pathlib import Path

from dermasense.hydra_words import PACKAGE, conf_folder


def commands() -> dict[str, str]:
    """Name of each command and the sentence on what it does, which opens its module."""
    found = {}
    for path in sorted(PACKAGE.glob("*.py")):
        if (conf_folder() / f"{path.stem}.yaml").is_file():
            found[path.stem] = _sentence(path)
    return found


def _sentence(path: Path) -> str:
    """Read, not imported: some modules take a while."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(docstring.partition("\n\n")[0].split())
    return first.partition(": ")[2].rstrip(".")
