"""What sets, alarms and costs are worth on other images, counted again by hand: a vote a lesion."""

import numpy as np
import pytest
from scipy import stats

from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.decisions.cost import Cost
from dermasense.evaluation.decisions.lac import Lac
from dermasense.evaluation.decisions.risk_control import RiskControl
from dermasense.evaluation.decisions.shares import Ratios, one_per_group
from dermasense.evaluation.decisions.summary import decisions_summary
from tests.evaluation.decisions.test_decisions import NAMES, table


def by_votes(test, hit, among):
    vote = 1 / test.frame.groupby("group")["image_id"].transform("size").to_numpy()
    return pytest.approx(np.average(np.asarray(hit, float)[among], weights=vote[among]))


def test_a_ratio_is_as_wide_as_students_t_and_tells_the_images_and_lesions_behind_it():
    x = np.arange(6.0)
    got = Ratios(np.arange(6), resamples=4000)(x, share=False)
    half = stats.t.ppf(0.975, 5) * x.std(ddof=1) / np.sqrt(6)
    assert (got.low, got.high) == pytest.approx((2.5 - half, 2.5 + half), abs=0.12 * half)
    assert (got.n, got.n_groups) == (6, 6)
    some = np.array([0, 0, 1, 1, 1])
    part = Ratios(np.array([0, 0, 1, 2, 2]), 100)(some, some)
    assert (part.n, part.n_groups) == (3, 2)


def test_the_image_that_stands_for_a_lesion_is_drawn():
    many = table(n=100, copies=3)
    place = many.frame.groupby("group").cumcount().set_axis(many.frame["image_id"])
    one, other = (place[one_per_group(many, seed).frame["image_id"]].array for seed in (0, 1))
    assert set(one) >= {0, 1, 2} and (one != other).any()


def test_the_decisions_of_a_report_are_fitted_on_validation_alone():
    validation, test = table(n=300, seed=1, gain=3.0), table(n=300, seed=2, gain=0.5)
    warm = Temperature().fit(validation)
    lac = Lac().fit(warm.apply(validation))
    found = decisions_summary(test, validation, resamples=100)["lac"]
    assert found["fitted"] == lac.as_dict()
    hit = lac.apply(warm.apply(test).logits)[np.arange(300), test.labels].mean()
    assert found["judged"]["coverage"]["value"] == pytest.approx(hit)


def test_an_alarm_and_a_cost_are_judged_by_lesions():
    validation, test = table(n=500, seed=4), table(n=400, seed=5, copies=2)
    fitted = RiskControl(classes=("mel",), sensitivity=0.8).fit(validation)
    found, alarm = fitted.judge(test, resamples=100), fitted.apply(test.logits)
    ill, everyone = test.labels == 1, np.ones(len(test), bool)
    assert found["sensitivity"]["value"] == by_votes(test, alarm, ill)
    assert found["specificity"]["value"] == by_votes(test, ~alarm, ~ill)
    assert found["alarms"]["value"] == by_votes(test, alarm, everyone)
    assert found["precision"]["value"] == by_votes(test, ill, alarm)
    cost = Cost(missed=5.0).fit(validation)
    found, answers = cost.judge(test, resamples=100), cost.apply(test.logits)
    usual = test.logits.argmax(axis=1)
    assert found["accuracy"]["value"] == by_votes(test, answers == test.labels, everyone)
    assert found["specificity"]["value"] == by_votes(test, answers != 1, ~ill)
    assert found["specificity_usual"]["value"] == by_votes(test, usual != 1, ~ill)


def test_sets_are_judged_by_class_and_by_attribute():
    test = table(n=400, seed=5, copies=2)
    fitted = Lac(alpha=0.3).fit(table(n=300, seed=4))
    found, sets = fitted.judge(test, resamples=100), fitted.apply(test.logits)
    size, hit = sets.sum(axis=1), sets[np.arange(len(test)), test.labels]
    everyone = np.ones(len(test), bool)
    assert found["size"]["value"] == by_votes(test, size, everyone)
    assert found["singletons"]["value"] == by_votes(test, size == 1, everyone)
    assert found["empty"]["value"] == by_votes(test, size == 0, everyone)
    for code, name in enumerate(NAMES):
        inside = test.labels == code
        assert found["per_class"][name]["coverage"]["value"] == by_votes(test, hit, inside)
    for sex, row in found["by_attribute"]["sex"].items():
        inside = (test.frame["sex"] == sex).to_numpy()
        assert row["coverage"]["value"] == by_votes(test, hit, inside)


def test_sizes_and_costs_beyond_one_lie_inside_their_intervals():
    validation, test = table(n=300, seed=4, gain=0.5), table(n=300, seed=5, copies=2, gain=0.5)
    found = {
        **Lac(alpha=0.05).fit(validation).judge(test, resamples=200),
        **Cost(missed=50.0).fit(validation).judge(test, resamples=200),
    }
    for name in ("size", "cost", "cost_usual", "cost_change"):
        each = found[name]
        assert abs(each["value"]) > 1, name
        assert each["low"] < each["value"] < each["high"], name
