"""Bounds are checked before the server starts."""

import pytest

from dermasense.errors import DermaSenseError
from dermasense.serving.limits import Limits


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"files": 0}, "limits.files=0: expected an integer above 0"),
        ({"queue": 2.5}, "limits.queue=2.5: expected an integer"),
        ({"request_mb": -1}, "limits.request_mb=-1: expected a number above 0"),
        ({"per_minute": -1}, "limits.per_minute=-1: expected an integer >= 0"),
        ({"requests": True}, "limits.requests=True"),
        ({"request_mb": float("inf")}, "limits.request_mb=inf: expected a number above 0"),
        ({"answer_seconds": float("nan")}, "limits.answer_seconds=nan"),
        ({"files": 70}, "never fits into limits.queue=64"),
    ],
)
def test_a_bound_that_is_none_is_named(option, words):
    with pytest.raises(DermaSenseError, match=words):
        Limits(**option)


def test_zero_requests_a_minute_means_no_bound():
    assert Limits(per_minute=0).per_minute == 0 and Limits().request_bytes == 20_000_000
