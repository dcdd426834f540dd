"""A `_target_` that names nothing is told in a sentence."""

import pytest

from dermasense.errors import DermaSenseError
from dermasense.targets import build, imported


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere.Thing", "_target_=nowhere.Thing cannot be imported"),
        ("../x", "_target_=../x cannot be imported"),
        (-0.5, "_target_=-0.5: expected a name"),
        ([], r"_target_=\[\]: expected a name"),
    ],
)
def test_what_is_no_target_is_refused(target, said):
    with pytest.raises(DermaSenseError, match=said):
        imported(target)


def test_an_option_that_the_target_does_not_take_is_named():
    with pytest.raises(DermaSenseError, match=r"fractions.Fraction"):
        build({"_target_": "fractions.Fraction", "nominator": 3})
