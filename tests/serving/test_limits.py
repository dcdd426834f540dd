"""Bounds are checked before the server starts."""

import pytest

from dermasense.errors import DermaSenseError
from dermasense.serve import trusted
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
        ({"pixels": 0}, "limits.pixels=0: expected an integer above 0"),
        ({"pixels": 1.5}, "limits.pixels=1.5: expected an integer above 0"),
        ({"files": 70}, "never fits into limits.queue=64"),
    ],
)
def test_a_bound_that_is_none_is_named(option, words):
    with pytest.raises(DermaSenseError, match=words):
        Limits(**option)


def test_zero_requests_a_minute_means_no_bound():
    assert Limits(per_minute=0).per_minute == 0 and Limits().request_bytes == 20_000_000


def test_pixels_are_those_that_the_bundle_takes_and_no_more_may_be_asked_for():
    assert Limits().within(1000).pixels == 1000
    assert Limits().within(10**9).pixels == 50_000_000
    assert Limits(pixels=10**8).within(10**9).pixels == 10**8
    with pytest.raises(
        DermaSenseError, match=r"limits\.pixels=1001: the bundle takes at most 1,000"
    ):
        Limits(pixels=1001).within(1000)


def test_a_trusted_proxy_is_an_address_a_network_or_all():
    assert trusted(["10.0.0.1", "fd00::/8", "*"]) == ("10.0.0.1", "fd00::/8", "*")
    assert trusted(None) == ()
    for wrong in ("proxy", "10.0.0.0/33"):
        with pytest.raises(DermaSenseError, match=f"trusted_proxies={wrong}: expected an address"):
            trusted([wrong])
