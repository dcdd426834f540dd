"""What `decide` prints of the images that a method was fitted on."""

import pytest

from dermasense.evaluation.decisions.lac import Lac
from dermasense.evaluation.decisions.referral import Referral
from dermasense.reporting.decision_table import text_table
from tests.reporting.run_on_disk import table


@pytest.mark.parametrize(
    ("method", "words"), [(Lac(), "lesions or groups"), (Referral(), "images")]
)
def test_it_counts_what_the_method_took(method, words):
    drawn = table()
    fitted = method.fit(drawn)
    count = drawn.n_groups if words == "lesions or groups" else len(drawn)
    assert drawn.n_groups < len(drawn) == Referral(share=0.5, accuracy=None).fit(drawn).n
    result = {
        "protocol": "grouped",
        "note": "",
        "calibration": "none",
        "calibration_numbers": 1,
        "n": len(drawn),
        "n_groups": drawn.n_groups,
        "fitted_on": {"n": len(drawn), "n_groups": drawn.n_groups},
        "kind": fitted.kind,
        "fitted": fitted.as_dict(),
        "judged": fitted.judge(drawn, resamples=100),
    }
    assert f"fitted on {count:,} {words} of validation" in text_table(result)
