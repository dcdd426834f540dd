import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation import metrics
from dermasense.evaluation.bootstrap import (
    bca,
    group_draws,
    interval,
    intervals,
    jackknifed,
    resampled,
    wilson,
)
from dermasense.evaluation.decisions.shares import Ratios
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.protocol import GROUPED
from dermasense.evaluation.scores import Behind, Scores, freedom_of_a_mean

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MANY = Behind(10**6, 10**6, 1e6)
SHARES = np.array([327, 514, 1099, 115, 1113, 6705, 142]) / 10015


def drawn(n=120, seed=0, per_group=2, names=NAMES):
    rng = np.random.default_rng(seed)
    shares = SHARES[: len(names)] / SHARES[: len(names)].sum()
    labels = rng.choice(len(names), n, p=shares)
    logits = rng.normal(size=(n, len(names))).round(1)  # rounded: ties happen
    logits[np.arange(n), labels] += 1.5
    frame = pd.DataFrame(
        {
            "image_id": np.arange(n).astype(str),
            "group": (np.arange(n) // per_group).astype(str),
            "label": [names[y] for y in labels],
        }
    )
    return Predictions(frame, logits, names)


def repeated(table, times):
    """The table in which each group stands as often as it was drawn: the naive resample."""
    rows = np.repeat(np.arange(len(table)), times[table.groups].astype(int))
    frame = table.frame.iloc[rows].assign(image_id=[str(k) for k in range(len(rows))])
    return Predictions(frame, table.logits[rows], table.class_names)


def test_weights_of_one_give_the_values_of_the_summary():
    table = drawn(400)
    summary = summarise(table, split_protocol=GROUPED)
    values = Scores(table)(np.ones((table.n_groups, 1)))
    flat = {name: summary[name] for name in summary if name in values}
    assert len(flat) == 11
    for kind in ("precision", "recall", "f1"):
        flat |= {f"{kind}/{name}": summary["per_class"][name][kind] for name in NAMES}
    for name, value in flat.items():
        got = values[name][0]
        assert (np.isnan(got) and value is None) or got == pytest.approx(value, abs=1e-12), name


def ece_equal_mass(probabilities, labels):
    """Each image in the bin of the first of the images of its confidence."""
    top = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == labels) - top
    bins = (stats.rankdata(top, "min") - 1) * 15 // len(top)
    return pd.Series(gap).groupby(bins).sum().abs().sum() / len(top)


def test_every_resample_equals_the_table_it_stands_for():
    table = drawn(60)
    draws = group_draws(table.n_groups, range(20), seed=3)
    values = Scores(table)(draws)
    for column in range(draws.shape[1]):
        naive = repeated(table, draws[:, column])
        summary = summarise(naive, split_protocol=GROUPED)
        probabilities = softmax(naive.logits, axis=1)
        want = {name: summary[name] for name in summary if name in values}
        want["ece_equal_mass"] = ece_equal_mass(probabilities, naive.labels)
        for i, name in enumerate(NAMES):
            want[f"auroc/{name}"] = metrics.auroc_per_class(probabilities, naive.labels)[i]
            for kind in ("precision", "recall", "f1"):
                want[f"{kind}/{name}"] = summary["per_class"][name][kind]
        for name, value in want.items():
            got = values[name][column]
            undefined = value is None or np.isnan(value)
            assert np.isnan(got) if undefined else got == pytest.approx(value, abs=1e-10), name


def test_draws_are_groups_with_replacement_and_a_function_of_seed_and_number():
    draws = group_draws(50, range(200), seed=1)
    assert (draws.sum(axis=0) == 50).all()
    assert (draws == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)
    np.testing.assert_array_equal(draws[:, 120:125], group_draws(50, range(120, 125), seed=1))
    assert (draws != group_draws(50, range(200), seed=2)).any()


def test_same_seed_gives_the_same_intervals_whatever_the_order_of_the_rows():
    table = drawn(200)
    first = intervals(table, resamples=300, seed=5)
    assert intervals(table, resamples=300, seed=5) == first
    assert intervals(table, resamples=300, seed=6) != first
    shuffled = intervals(
        table.rows(np.random.default_rng(0).permutation(200)), resamples=300, seed=5
    )
    for name, each in first.items():
        assert shuffled[name].low == pytest.approx(each.low), name
        assert shuffled[name].high == pytest.approx(each.high), name


def test_interval_holds_the_value_and_says_what_stands_behind_it():
    table = drawn(400)
    got = intervals(table, resamples=400)
    mel = table.labels == NAMES.index("mel")
    answered = table.logits.argmax(1) == NAMES.index("mel")
    ill = np.isin(table.frame["label"], ["mel", "bcc", "akiec"])
    assert (got["top1"].n, got["top1"].n_groups) == (400, 200)
    assert got["recall/mel"].n == mel.sum()
    assert got["recall/mel"].n_groups == len(np.unique(table.groups[mel]))
    assert got["precision/mel"].n == answered.sum()
    assert got["malignant_sensitivity_at_90_specificity"].n == ill.sum()
    assert set(got["top1"].as_dict()) == {"value", "low", "high", "n", "n_groups"}


def test_interval_of_a_mean_of_independent_images_is_the_textbook_one():
    table = drawn(2000, per_group=1)
    got = intervals(table, resamples=2000, ranking=False)["top1"]
    low, high = wilson(got.value, 2000)
    assert (got.low, got.high) == pytest.approx((low, high), abs=0.003)


def test_images_of_one_lesion_widen_the_interval():
    table = drawn(300, per_group=1)
    thrice = repeated(table, np.full(300, 3.0))
    once = intervals(table, resamples=500, ranking=False)["top1"]
    got = intervals(thrice, resamples=500, ranking=False)["top1"]
    assert (got.low, got.high) == pytest.approx((once.low, once.high))
    assert got.n == 900


def test_rare_class_that_is_always_right_gets_no_interval_of_zero_width():
    labels = ["a"] * 17 + ["b"] * 60
    frame = pd.DataFrame({"image_id": range(77), "group": range(77), "label": labels})
    table = Predictions(frame, np.eye(3)[[0] * 17 + [1] * 40 + [2] * 20], ("a", "b", "c"))
    got = intervals(table, resamples=200)["recall/a"]
    assert got.value == 1.0
    assert (got.low, got.high) == pytest.approx(
        stats.binomtest(17, 17).proportion_ci(method="wilson")
    )
    missing = intervals(table, resamples=200)["recall/c"]
    assert (missing.value, missing.low, missing.n, missing.n_groups) == (None, None, 0, 0)


def test_wilson_is_that_of_the_textbook():
    want = stats.binomtest(13, 17).proportion_ci(method="wilson")
    assert wilson(13 / 17, 17) == pytest.approx((want.low, want.high))
    assert wilson(13 / 17, 17) == pytest.approx((0.53, 0.90), abs=0.005)


def test_bca_of_a_symmetric_statistic_is_the_percentile_interval():
    normal = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    got = interval("mean", 0.0, normal, np.array([-1.0, 1.0]), MANY)
    assert (got.low, got.high) == pytest.approx((-1.96, 1.96), abs=0.01)


def test_bca_leans_as_the_skewness_of_the_groups_says():
    x = np.random.default_rng(0).exponential(size=40)
    normal = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    z, a = stats.norm.ppf([0.025, 0.975]), stats.skew(x) / (6 * np.sqrt(40))  # Efron, eq. 6.6
    left_out = (x.sum() - x) / 39
    assert a > 0.03
    assert bca(0.0, normal, left_out, 0.025) == pytest.approx(z / (1 - a * z), abs=0.01)


def test_bca_counts_half_of_the_ties_as_below():
    low, high = np.linspace(0, 0.4, 300), np.linspace(0.6, 1, 300)
    symmetric = np.concatenate([low, np.full(400, 0.5), high])
    assert bca(0.5, symmetric, np.array([-1.0, 1.0]), 0.1).sum() == pytest.approx(1, abs=0.01)


def test_bca_moves_with_bias_and_widens_with_few_groups():
    normal = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    biased = interval("mean", -0.5, normal, np.array([-1.0, 1.0]), MANY)
    assert (biased.low, biased.high) == pytest.approx((-2.96, 0.96), abs=0.03)
    few = interval("mean", 0.0, normal, np.array([-1.0, 1.0]), Behind(5, 5, 4.0))
    assert few.high == pytest.approx(stats.t.ppf(0.975, 4) * np.sqrt(5 / 4), abs=0.03)


@pytest.mark.parametrize("resamples", [100, 400, 100_000])
def test_a_tail_that_the_resamples_do_not_reach_is_stretched_to(resamples):
    normal = stats.norm.ppf((np.arange(resamples) + 0.5) / resamples)
    got = interval("nll", 3.0, 3.0 + 0.1 * normal, np.array([-1.0, 1.0]), Behind(4, 3, 2.0))
    reach = stats.t.ppf(0.975, 2) * np.sqrt(3 / 2)  # five standard errors
    assert (got.low, got.high) == pytest.approx((3 - 0.1 * reach, 3 + 0.1 * reach), abs=0.05)


def test_an_interval_ends_where_its_metric_does():
    normal = 0.5 + stats.norm.ppf((np.arange(400) + 0.5) / 400)
    ends = np.array([-1.0, 1.0])
    assert interval("macro_f1", 0.5, normal, ends, Behind(4, 3, 2.0)).high == 1.0
    assert interval("kappa", 0.5, normal, ends, Behind(4, 3, 2.0)).low == -1.0
    few = interval("recall/a", 0.5, normal, ends, Behind(4, 3, 2.0), difference=True)
    assert (few.low, few.high) == (-1.0, 1.0)


def test_the_bounds_of_nll_and_brier_are_theirs():
    draws = 0.1 + 0.1 * stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    ends, few = np.array([-1.0, 1.0]), Behind(4, 3, 2.0)
    assert interval("nll", 0.1, draws, ends, few).low == 0
    assert interval("brier", 1.5, 1.4 + draws, ends, few).high == pytest.approx(2)


def test_a_metric_that_most_resamples_lack_has_no_ends():
    draws = np.append(np.full(500, np.nan), np.linspace(0.3, 0.7, 500))
    got = interval("macro_f1", 0.5, draws, np.array([0.4, 0.6]), Behind(9, 9, 8.0))
    assert got.low < 0.5 < got.high
    draws[-1] = np.nan
    got = interval("macro_f1", 0.5, draws, np.array([0.4, 0.6]), Behind(9, 9, 8.0))
    assert (got.value, got.low, got.high) == (0.5, None, None)


@pytest.mark.parametrize("times", [0.1, 1, 10])
@pytest.mark.parametrize("n", [12, 60, 400])
def test_every_interval_holds_its_value(n, times):
    table = drawn(n)
    table = table.with_logits(times * table.logits)
    for name, each in intervals(table, resamples=200).items():
        if each.low is not None:
            assert each.low <= each.value <= each.high, name


@pytest.mark.parametrize("middle", [-40.0, 0.0, 7.4])
def test_a_number_that_is_no_metric_has_no_bounds(middle):
    normal = middle + stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    got = interval("mean", middle, normal, np.array([-1.0, 1.0]), MANY)
    assert (got.low, got.high) == pytest.approx((middle - 1.96, middle + 1.96), abs=0.01)


def test_modesty_lies_below_zero():
    normal = stats.norm.ppf((np.arange(1000) + 0.5) / 1000) / 10 - 0.5
    got = interval("overconfidence/VI", -0.5, normal, np.array([-1.0, 1.0]), MANY)
    assert got.low < -0.5 < got.high < 0


def test_ece_is_centred_on_its_value_and_not_below_zero():
    rng = np.random.default_rng(0)
    draws = 0.02 + 0.01 * rng.normal(size=4000)
    got = interval("ece", 0.015, draws, draws[:200], MANY)
    assert (got.low, got.high) == pytest.approx((0.0, 0.0346), abs=5e-4)
    less = interval("ece", 0.015, draws, draws[:200], MANY, difference=True)
    assert less.low == pytest.approx(-0.0046, abs=5e-4)


def test_a_difference_has_students_t_on_both_sides_whatever_few_values_it_takes():
    draws = np.array([-0.2] * 60 + [-0.1] * 130 + [0.0] * 210)
    got = interval(
        "recall/df", -0.08, draws, np.array([-0.1, -0.07]), Behind(9, 8, 7.0), difference=True
    )
    reach = stats.t.ppf(0.975, 7) * draws.std(ddof=1) * np.sqrt(8 / 7)
    assert (got.low, got.high) == pytest.approx((-0.08 - reach, -0.08 + reach))


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, -0.2589, 0.2589), (1.0, 0.4822, 1.0)])
def test_a_difference_on_which_all_lesions_agree_is_bounded_by_what_ten_do_not_show(
    value, low, high
):
    # 1 - .05 ^ (1 / 10) = .2589, the exact form of three in ten.
    for name in ("top1", "recall/df", "auroc/df", "balanced_accuracy"):
        got = interval(
            name,
            value,
            np.full(200, value),
            np.full(10, value),
            Behind(14, 10, 9.0),
            difference=True,
        )
        assert (got.low, got.high) == pytest.approx((low, high), abs=1e-4), name
    means = interval("nll", 0.0, np.zeros(200), np.zeros(10), Behind(14, 10, 9.0), difference=True)
    assert (means.value, means.low) == (0.0, None)


@pytest.mark.parametrize("name", ["ece", "ece_equal_mass", "ece/V-VI"])
def test_an_ece_of_two_images_ends_at_1(name):
    got = interval(name, 0.5, np.array([0.2, 0.8] * 100), np.array([0.2, 0.8]), Behind(2, 2, 1.0))
    assert (got.low, got.high) == (0.0, 1.0)


def test_mean_over_classes_is_as_settled_as_its_rare_classes():
    labels = ["a"] * 50 + ["b"] * 50 + ["c"] * 3
    frame = pd.DataFrame({"image_id": range(103), "group": range(103), "label": labels})
    table = Predictions(frame, np.random.default_rng(0).normal(size=(103, 3)), ("a", "b", "c"))
    behind = Scores(table).behind()
    assert behind["top1"].freedom == 102
    assert behind["recall/c"].freedom == 2
    assert 2 < behind["macro_f1"].freedom < 4
    assert (behind["macro_f1"].n, behind["macro_f1"].n_groups) == (103, 103)


def test_the_freedom_of_a_mean_is_satterthwaites():
    k = np.array([50, 40, 3])
    variances = 1 / k
    known = variances.sum() ** 2 / (variances**2 / (k - 1)).sum()
    assert freedom_of_a_mean([50, 40, 0, 3]) == pytest.approx(known)  # 0: a class that is absent
    assert (freedom_of_a_mean([5]), freedom_of_a_mean([50, 1])) == (pytest.approx(4), 1)


def test_a_ranking_is_settled_by_the_side_of_fewer_groups():
    labels = ["mel"] * 60 + ["nv"] * 6
    groups = [str(k) for k in [*range(60), 70, 70, 71, 71, 72, 73]]
    frame = pd.DataFrame({"image_id": range(66), "group": groups, "label": labels})
    right = np.eye(2)[[0] * 60 + [1] * 6] * 4.0
    table = Predictions(frame, right + np.random.default_rng(0).normal(size=(66, 2)), ("mel", "nv"))
    behind = Scores(table).behind()
    rankings = ["auroc/mel", "auroc/nv", "average_precision/mel"]
    rankings += [name for name in behind if name.startswith("malignant_")]
    assert len(rankings) == 7
    assert {behind[name] for name in rankings} == {Behind(6, 4, 3.0)}
    assert behind["recall/mel"] == Behind(60, 60, 59.0)
    got = intervals(Predictions(frame, right, ("mel", "nv")), resamples=200)
    assert got["auroc/mel"].low == got["auroc/nv"].low == pytest.approx(wilson(1.0, 4)[0])


def test_one_row_and_one_class_give_none_or_a_wide_interval():
    one = intervals(drawn(1), resamples=100)
    assert one["top1"].low < 0.3 or one["top1"].high > 0.7
    assert one["nll"].value > 0
    assert one["nll"].low is None
    assert one["kappa"].value is None
    frame = pd.DataFrame({"image_id": range(9), "group": range(9), "label": ["a"] * 9})
    same = Predictions(frame, np.eye(3)[[0, 1, 2] * 3], ("a", "b", "c"))
    got = intervals(same, resamples=100)
    assert got["auroc_macro"].value is None
    assert got["top1"].low < got["top1"].value < got["top1"].high


def test_few_weightings_at_once_give_the_same_numbers(monkeypatch):
    table = drawn(80)
    whole = intervals(table, resamples=100)
    monkeypatch.setattr("dermasense.evaluation.scores.AT_ONCE", 170)
    for name, each in intervals(table, resamples=100).items():
        assert each.as_dict() == pytest.approx(whole[name].as_dict(), abs=1e-12), name


def test_memory_grows_with_images_and_not_with_classes_squared_or_resamples():
    names = tuple(f"c{i:02d}" for i in range(30))
    rng = np.random.default_rng(0)
    labels = rng.integers(30, size=20_000)
    frame = pd.DataFrame(
        {"image_id": range(20_000), "group": range(20_000), "label": np.array(names)[labels]}
    )
    table = Predictions(frame, rng.normal(size=(20_000, 30)), names)
    assert table.n_groups == len(table.labels)
    tracemalloc.start()
    scores = Scores(table, ranking=False)
    scores(np.ones((20_000, 1)))
    held = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.reset_peak()
    resampled(scores, 300, 0)
    jackknifed(scores, 0)
    at_work = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.reset_peak()
    Ratios(table.groups, 1000)(labels == 0)
    ratios = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    # Dense and all at once they were 439, 331 and 333 MiB.
    assert max(held, at_work, ratios) < 120, (held, at_work, ratios)


def test_too_few_resamples_are_refused():
    with pytest.raises(DermaSenseError, match="100 or more"):
        resampled(Scores(drawn(10)), 50, seed=0)


def test_malignant_metrics_need_both_sides():
    table = drawn(60, names=("nv", "df", "vasc"))
    assert not any(name.startswith("malignant") for name in intervals(table, resamples=100))
    got = intervals(table, resamples=100, malignant=("df",))
    assert got["malignant_auroc"].value == pytest.approx(got["auroc/df"].value)


@pytest.mark.slow
def test_two_thousand_resamples_of_ham10000_take_at_most_twenty_seconds():
    table = drawn(10_015, per_group=1)
    start = time.process_time()
    got = intervals(table, resamples=2000)
    assert time.process_time() - start < 20 * 3  # 8 s of one core
    assert len(got) == 53
