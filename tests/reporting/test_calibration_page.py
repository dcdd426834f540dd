"""What the calibration page says of a temperature at an edge (as reports do), and of chance."""

import numpy as np
import pytest

from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.judge import judge
from dermasense.reporting.calibration_page import _left, _warnings
from dermasense.reporting.parts.confidence import at_edge, reliability
from dermasense.reporting.subject import Subject
from tests.reporting.run_on_disk import table


def answering(gain: float):
    """Always right where `gain` is above 0, never right below it, the same share at 0."""
    plain = table()
    return plain.with_logits(gain * np.eye(7)[plain.labels])


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        (answering(-100), "says nearly nothing"),
        (answering(0.5), "validation is too easy"),
        (answering(0.0), "No temperature fits"),
    ],
)
def test_each_edge_has_its_words_in_both_pages(validation, words):
    fitted = Temperature().fit(validation)
    assert fitted.at_bound
    result = {"note": "", "protocol": "grouped", "fitted": fitted.as_dict()}
    result["change"] = {"nll": {"low": None}}
    assert [words in each for each in _warnings(result)] == [True]
    metrics = judge(table(), protocol="grouped", validation=validation, resamples=100)
    assert str(reliability(Subject("a", table(), metrics)).body).count(words) == 1


def test_the_list_says_for_how_many_it_was_widened():
    one = {"value": 0.1, "low": 0.05, "high": 0.15, "n": 9, "n_groups": 9}
    each = {"n": 9, "before": one, "after": one, "corrected": one}
    result = {"classes": {f"c{i}": each for i in range(27)}, "groups": {}, "left": ["c0 is"]}
    assert "looked at 27 classes and 0 groups" in str(_left(result)[0])
    assert "some may exclude 0 by chance" in str(_left({**result, "left": []})[0])


def test_folds_may_reach_both_edges_or_none():
    assert len(at_edge([0.05, 1.0, 20.0])) == 2 and at_edge([0.5, 1.0, 3.0]) == []
