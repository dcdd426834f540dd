"""Words of errors that other libraries raise."""

import pytest

from dermasense.errors import DermaSenseError, check_choice, check_options, first_line


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


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("float61", r"cache\.dtype=float61 is unknown; did you mean 'float16'\?"),
        (None, "cache.dtype=None is unknown; valid: float16, uint8"),
        (["uint8"], "is unknown"),
    ],
)
def test_a_value_that_is_no_choice_is_told_with_the_nearest(value, says):
    valid = {"float16": 2, "uint8": 1}
    check_choice("cache.dtype", "uint8", valid)
    with pytest.raises(DermaSenseError, match=says):
        check_choice("cache.dtype", value, valid)


def take(data, *, views, depth=1, seed=None):
    pass


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"views": 1, "dept": 2}, "cache.dept is no option; did you mean 'depth'"),
        ({"views": 1, "seed": 2}, "cache.seed is no option; valid: depth, views"),
        ({"views": 1, "data": 2}, "cache.data is no option"),
        ({"views": 1, 3: 2}, "cache.3 is no option"),
        ({"depth": 1}, "cache.views is missing: set it."),
    ],
)
def test_the_names_of_options_are_those_of_the_signature(options, says):
    with pytest.raises(DermaSenseError, match=says):
        check_options("cache", options, take, given=("seed",))


def test_options_of_the_signature_pass():
    check_options("cache", {"views": 1, "depth": None}, take, given=("seed",))
