"""The part on decisions: shown with validation at hand, with reasons where a rule cannot be."""

import numpy as np

from dermasense.evaluation.decisions.summary import decisions_summary
from dermasense.evaluation.judge import judge
from dermasense.evaluation.predictions import Predictions
from dermasense.reporting.parts.decisions import decisions
from dermasense.reporting.subject import Subject
from tests.reporting.run_on_disk import table


def two(n_lesions=420, gain=2.5):
    validation, test = (table(n_lesions=n_lesions, seed=seed, gain=gain) for seed in (1, 2))
    frame = test.frame.assign(
        image_id="t" + test.frame["image_id"], group="t" + test.frame["group"]
    )
    return Predictions(frame, test.logits, test.class_names), validation


def subject(test, validation):
    metrics = judge(test, protocol="grouped", validation=validation, resamples=100)
    return Subject("a", test, metrics)


def test_the_judgement_holds_decisions_only_with_validation():
    test, validation = two()
    assert "decisions" not in judge(test, protocol="grouped", resamples=100)
    found = subject(test, validation).metrics["decisions"]
    assert set(found) == {"lac", "class_conditional", "referral", "risk_control"}
    coverage = found["lac"]["judged"]["coverage"]
    assert coverage["low"] < 0.9 < coverage["high"] and coverage["n"] == 840
    assert found["risk_control"]["judged"]["sensitivity"]["value"] > 0.85


def test_the_part_shows_sets_and_rules_with_n():
    part = decisions(subject(*two()))
    for words in ("LAC", "alarm for akiec, bcc, mel", "answer from confidence", "840", "vasc"):
        assert words in part.body
    assert decisions(Subject("a", two()[0], judge(two()[0], protocol="grouped", resamples=100))) \
        is None  # fmt: skip


def test_what_cannot_be_fitted_says_why():
    test, validation = two(n_lesions=14, gain=0.5)
    part = decisions(subject(test, validation.rows(np.arange(16))))
    assert part.body.count("Not done") >= 2 and "needs" in part.body
    found = decisions_summary(test, validation.rows(np.arange(16)), resamples=100)
    assert "8 lesions" in found["lac"]["not_done"]
