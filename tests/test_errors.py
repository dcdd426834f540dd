"""Words of errors that other libraries raise."""

import pytest

from dermasense.errors import first_line


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("\n no magic \nbytes: 00"), "no magic"),
        (EOFError(), "EOFError"),
        (OSError("x" * 500), "x" * 160),
    ],
)
def test_an_error_is_told_in_one_short_line(error, words):
    assert first_line(error) == words
