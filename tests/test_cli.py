"""The command line as all commands read it."""

import subprocess
import sys

import pytest

from dermasense.cli import quoted


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("predictions=a b.parquet,c=(1).parquet", 'predictions=["a b.parquet","c=(1).parquet"]'),
        ("predictions=[a,b]", "predictions=[a,b]"),
        ('out=my "best" run', 'out="my \\"best\\" run"'),
        ("labels=null", "labels=null"),
        ("seed=3", "seed=3"),
        ("data=x", "name=x"),
        ("--help", "--help"),
    ],
)
def test_paths_need_no_quoting(word, expected):
    assert quoted(word, ("out", "labels"), ("predictions",), {"data": "name"}) == expected


def test_a_command_ends_without_a_last_search_for_unreachable_objects():
    # What is registered before runs after.
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); "
        "import dermasense.cli; print(gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]
