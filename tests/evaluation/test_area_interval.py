import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logit

from dermasense.evaluation.area_interval import area_ends, freedom_left, is_area
from dermasense.evaluation.bootstrap import interval, intervals, jackknifed, resampled
from dermasense.evaluation.compare import differences
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.ranking import Ranking
from dermasense.evaluation.scores import Behind


def table(groups, signal, seed, positives=None, per_group=1):
    """Two classes, the scores of class "a" normal and `signal` apart: AUROC Phi(signal / sqrt 2)"""
    rng = np.random.default_rng(seed)
    ill = np.arange(groups) < (groups // 2 if positives is None else positives)
    ill = np.repeat(ill, per_group)
    frame = pd.DataFrame(
        {
            "image_id": np.arange(len(ill)),
            "group": np.repeat(np.arange(groups), per_group),
            "label": np.where(ill, "a", "b"),
        }
    )
    score = np.repeat(rng.normal(size=groups), per_group) + signal * ill
    return Predictions(frame, np.stack([score, np.zeros(len(ill))], axis=1), ("a", "b"))


def test_the_ends_are_those_of_a_wald_interval_of_the_logit():
    low, high = area_ends(0.9, 0.02, 30, 0.95)
    half = stats.t.ppf(0.975, 30) * 0.02 / (0.9 * 0.1)
    assert (low, high) == pytest.approx((expit(logit(0.9) - half), expit(logit(0.9) + half)))
    assert 0.9 - low > high - 0.9  # longer to the side where there is room


def test_the_ends_stay_within_0_and_1_and_a_difference_is_symmetric():
    low, high = area_ends(0.999, 0.3, 3, 0.95)
    assert 0 <= low < 0.01 and 0.999 < high <= 1
    reach = stats.t.ppf(0.995, 8) * 0.01
    assert area_ends(0.0, 0.01, 8, 0.99, difference=True) == pytest.approx((-reach, reach))


def test_normal_influences_leave_the_freedom_of_their_number():
    influences = np.random.default_rng(0).normal(size=200)
    assert freedom_left(influences, 200, 199) > 140
    assert freedom_left(influences, 10_000, 9_999) > 140


def test_a_few_influences_that_carry_the_spread_leave_few_degrees():
    influences = np.zeros(200)
    influences[:60] = 0.1 * np.random.default_rng(0).normal(size=60)
    influences[0] = 3.0
    assert freedom_left(influences, 60, 59) == 3
    assert freedom_left(influences, 3, 2) == 2  # never more than there are
    assert freedom_left(np.empty(0), 1, 1) == 1
    assert freedom_left(np.zeros(50), 50, 49) == 49


def test_it_takes_the_areas_and_nothing_else():
    areas = ("auroc/mel", "auroc_macro", "malignant_auroc")
    assert all(map(is_area, areas))
    assert not any(map(is_area, ("average_precision/mel", "recall/auroc", "top1")))


class Area:
    """The AUROC of one table, ready to be weighted."""

    def __init__(self, drawn):
        self.n_groups = drawn.n_groups
        self.ranking = Ranking(drawn.logits[:, 0], drawn.labels == 0, drawn.groups)
        positives = int((drawn.labels == 0).sum())
        self.behind = Behind(positives, positives, positives - 1.0)

    def __call__(self, weights):
        return {"auroc/a": self.ranking.weigh(weights).auroc()}

    def interval(self):
        value = float(self(np.ones((self.n_groups, 1)))["auroc/a"][0])
        draws, left_out = (
            made["auroc/a"] for made in (resampled(self, 100, 0), jackknifed(self, 0))
        )
        return interval("auroc/a", value, draws, left_out, self.behind)


@pytest.mark.parametrize("positives", [60, 15])
def test_it_holds_the_truth_as_often_as_it_says(positives):
    truth = stats.norm.cdf(2 / np.sqrt(2))
    found = [Area(table(160, 2.0, seed, positives)).interval() for seed in range(200)]
    held = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.91 <= held <= 0.99  # 200 data sets leave a standard error of 1.5 points


def test_photographs_of_one_lesion_widen_it():
    once = intervals(table(60, 1.0, 1), resamples=300)["auroc/a"]
    thrice = intervals(table(60, 1.0, 1, per_group=3), resamples=300)["auroc/a"]
    assert thrice.value == pytest.approx(once.value)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_a_difference_of_areas_has_the_same_rule_and_holds_0_where_there_is_none():
    first = table(120, 1.5, 3)
    other = table(120, 1.5, 4)
    same = Predictions(first.frame, first.logits + 0.5 * other.logits, ("a", "b"))
    back = Predictions(first.frame, first.logits - 0.5 * other.logits, ("a", "b"))
    got = differences(first, same, resamples=300)["auroc/a"]
    mirrored = differences(same, first, resamples=300)["auroc/a"]
    assert got.value - got.low == pytest.approx(got.high - got.value)
    assert (mirrored.low, mirrored.high) == pytest.approx((-got.high, -got.low))
    assert differences(first, first, resamples=100)["auroc/a"].value == 0
    assert differences(first, back, resamples=300)["auroc/a"].low is not None


def test_an_area_of_1_keeps_a_width():
    got = intervals(table(60, 50.0, 0, positives=12), resamples=100)["auroc/a"]
    assert got.value == 1 and got.low == pytest.approx(
        stats.binomtest(12, 12).proportion_ci(method="wilson").low
    )


def test_the_freedom_is_satterthwaites_with_the_kurtosis_g2():
    heavy = np.append(np.linspace(-1, 1, 19), 2.5)
    excess = stats.kurtosis(heavy, bias=False)
    assert excess > 0.5
    known = pytest.approx(1 / (1 / 19 + excess / 40))
    assert freedom_left(heavy, 20, 19) == known
    among_others = np.append(heavy - heavy.mean(), np.zeros(30))  # groups without influence
    assert freedom_left(among_others, 20, 19) == known
    in_blocks = pytest.approx(1 / (1 / 9_999 + excess / 40))  # as many values as blocks
    assert freedom_left(heavy, 10_000, 9_999) == in_blocks
    assert freedom_left(np.linspace(-1, 1, 12), 12, 11) == 11  # light tails add nothing
