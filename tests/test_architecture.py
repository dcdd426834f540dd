"""The rooms of docs/architecture.md, held against every import of the package."""

import ast
import re
from pathlib import Path

import pytest

from dermasense.commands import commands

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dermasense"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def allowed() -> dict[str, set[str]]:
    """Of each room of the table, the rooms that it may import."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE)
    return {room: set(re.findall(r"\w+", others)) for room, others in rows}


def beside(kind: str) -> set[str]:
    """Modules of one kind of the files beside the rooms."""
    listed = re.search(rf"^- {kind}.*?(?=^- |\n\n)", PAGE, re.MULTILINE | re.DOTALL).group()
    return set(re.findall(r"`(\w+)\.py`", listed))


def exceptions() -> set[tuple[str, str]]:
    """(file, what it imports) for all that the page lets through."""
    named = re.findall(r"`([\w/]+\.py)` imports((?: `\w+`)+)", PAGE)
    return {(file, each) for file, words in named for each in re.findall(r"\w+", words)}


def imports(path: Path) -> set[str]:
    """Rooms and modules of the package that a file imports, inside its functions too."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: write imports of the package in full"
            own = node.module == "dermasense"
            names += [f"dermasense.{a.name}" for a in node.names] if own else [node.module]
    return {name.split(".")[1] for name in names if name.startswith("dermasense.")}


FILES = {path.relative_to(PACKAGE).as_posix(): imports(path) for path in PACKAGE.rglob("*.py")}
ROOMS = allowed()


def test_every_room_has_a_row_and_every_file_beside_them_a_place():
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert set(ROOMS) == folders
    known = beside("ground") | beside("command line") | beside("what commands share")
    files = {name[:-3] for name in FILES if "/" not in name and not name.startswith("__")}
    assert files == known | set(commands())
    assert not known & set(commands())


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_what_its_row_names(room):
    may = ROOMS[room] | {room} | beside("ground") | {"__version__"}
    found = {
        (file, each)
        for file, imported in FILES.items()
        if file.startswith(f"{room}/")
        for each in imported - may
    }
    assert found - exceptions() == set()


def test_the_table_has_no_circle():
    left = dict(ROOMS)
    while left:
        ready = [room for room, others in left.items() if not others & left.keys()]
        assert ready, f"these import each other: {sorted(left)}"
        for room in ready:
            del left[room]


def test_every_exception_is_one():
    for file, each in exceptions():
        assert each in FILES[file], f"{file} imports {each} no more: take it out of the page"
        assert each not in ROOMS[file.split("/")[0]]


def test_the_ground_imports_no_room():
    for name in beside("ground"):
        assert FILES[f"{name}.py"] <= beside("ground"), name


def test_what_the_page_names_is_there():
    for named in re.findall(r"`((?:dermasense|conf|tests|benchmarks)/[\w./]+)`", PAGE):
        assert (ROOT / named).exists(), named
    assert len(PAGE.splitlines()) <= 130
