"""The command line as all commands read it."""

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
