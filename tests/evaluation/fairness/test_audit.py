"""Metrics by group: fairlearn's values, intervals over lesions, gaps that are not chance."""

import json

import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import cohen_kappa_score

from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.calibration import build_calibrator
from dermasense.evaluation.calibration.effect import effect
from dermasense.evaluation.decisions.conformal import judge_sets
from dermasense.evaluation.fairness.agreement import agreement
from dermasense.evaluation.fairness.audit import by_attribute
from dermasense.evaluation.fairness.bands import banded
from dermasense.evaluation.fairness.gaps import gap_of
from dermasense.evaluation.fairness.means import mean_intervals
from dermasense.evaluation.fairness.scores import COMPARED, METRICS, metric_frame
from dermasense.evaluation.malignant import malignant_classes
from dermasense.evaluation.metrics import ece
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Behind
from tests.evaluation.fairness.people import CLASSES, people

NULL = 80  # tables without a difference


def with_columns(table: Predictions, **columns) -> Predictions:
    return Predictions(table.frame.assign(**columns), table.logits, table.class_names)


def test_values_are_those_of_fairlearn():
    table = people(0, (120, 60, 40))
    frame = metric_frame(table, banded("sex", table.frame["sex"]))
    found = by_attribute(table, resamples=100)["sex"]["values"]
    for value, row in found.items():
        for metric in METRICS:
            assert row[metric]["value"] == pytest.approx(frame.by_group.loc[value, metric]), metric
    part = table.rows((table.frame["sex"] == "c").to_numpy())
    p = np.exp(part.logits) / np.exp(part.logits).sum(axis=1, keepdims=True)
    assert found["c"]["ece"]["value"] == pytest.approx(ece(p, part.labels))


def test_intersections_come_from_fairlearn():
    table = people(8, (120, 60))
    frame = table.frame.assign(skin_type=np.resize([1.0, 5.0, np.nan], len(table)))
    words = frame[["sex", "skin_type"]].apply(lambda column: banded(column.name, column))
    by_group = metric_frame(table, words).by_group
    keep = (frame["sex"] == "b") & (frame["skin_type"] == 5)
    part = table.rows(keep.to_numpy())
    assert len(by_group) == 4
    right = (part.logits.argmax(axis=1) == part.labels).mean()
    assert by_group.loc[("b", "V-VI"), "top1"] == pytest.approx(right)


def test_an_interval_is_that_of_the_part_alone_nearly():
    """The whole table's lesions are drawn here, the part's own there: the same but for noise."""
    table = people(1, (200, 150))
    part = table.rows((table.frame["sex"] == "a").to_numpy())
    alone = intervals(part, resamples=1000, ranking=False)["top1"]
    row = by_attribute(table, resamples=1000)["sex"]["values"]["a"]
    assert (row["n"], row["n_groups"]) == (len(part), part.n_groups)
    assert row["top1"]["low"] == pytest.approx(alone.low, abs=0.012)
    assert row["top1"]["high"] == pytest.approx(alone.high, abs=0.012)


def test_the_largest_gap_is_fairlearns_difference():
    table = people(2, (90, 80, 70))
    frame = metric_frame(table, banded("sex", table.frame["sex"]))
    gaps = by_attribute(table, resamples=100)["sex"]["gaps"]
    for metric in COMPARED:
        gap = gaps[metric]
        assert gap["value"] == pytest.approx(frame.difference()[metric])
        assert gap["low"] <= gap["value"] <= gap["high"] and gap["pairs"] == 3
    assert gaps["top1"]["worse"] == frame.by_group["top1"].idxmin()
    assert gaps["overconfidence"]["worse"] == frame.by_group["overconfidence"].idxmax()


def test_groups_served_alike_are_seldom_called_different():
    """Two of 80 beyond the nominal 5 % would be 10: a rate above 12.5 % fails (p about .001)."""
    called = dict.fromkeys(COMPARED, 0)
    seen = []
    for seed in range(NULL):
        gaps = by_attribute(people(seed, (160, 80, 40)), resamples=200)["sex"]["gaps"]
        for metric in COMPARED:
            called[metric] += bool(gaps[metric]["differences"])
        seen.append((gaps["top1"]["value"], gaps["top1"]["by_chance"]))
    assert max(called.values()) <= NULL / 8, called
    # best minus worst is above 0 without any difference, and by_chance says by how much
    gap, by_chance = np.mean(seen, axis=0)
    assert gap > 0.06 and by_chance == pytest.approx(gap, rel=0.15)


def test_a_group_served_worse_is_found():
    table = people(3, (300, 300, 200), wrong=(0.0, 0.0, 0.5))
    gaps = by_attribute(table, resamples=300)["sex"]["gaps"]
    assert gaps["top1"]["worse"] == "c" and gaps["top1"]["differs"]
    assert {(each["worse"]) for each in gaps["top1"]["differences"]} == {"c"}
    assert gaps["overconfidence"]["worse"] == "c" and gaps["overconfidence"]["differs"]


def test_unknown_is_no_group_and_single_types_stand_beside_bands():
    table = people(4, (120, 60))
    types = np.resize([1.0, 1.0, 2.0, 4.0, np.nan, -1.0], len(table))
    found = by_attribute(with_columns(table, skin_type=types), least=20, resamples=100)
    assert found["skin_type"]["unknown"] == 60
    assert list(found["skin_type"]["values"]) == ["I-II", "III-IV"]
    assert list(found["skin_type (single types)"]["values"]) == ["I", "II", "IV"]
    few = by_attribute(with_columns(table, skin_type=types), least=40, resamples=100)
    assert list(few["skin_type (single types)"]["values"]) == ["I"]
    assert few["skin_type (single types)"]["too_few"] == 60
    json.dumps(found, allow_nan=False)


def test_two_sources_of_types_stand_side_by_side_with_their_agreement():
    table = people(5, (90, 90))
    rng = np.random.default_rng(0)
    first = rng.integers(1, 7, len(table)).astype(float)
    second = np.clip(first + rng.integers(-1, 2, len(table)), 1, 6)
    first[:10], second[5:20] = np.nan, -1
    table = with_columns(table, skin_type=first, skin_type_centaur=second)
    pair = by_attribute(table, resamples=100)["skin_type_centaur"]["agreement"]
    known = slice(20, None)
    assert (pair["with"], pair["n"]) == ("skin_type", 160)
    assert pair["exact"]["value"] == pytest.approx((first == second)[known].mean())
    band = (first + 1) // 2 == (second + 1) // 2  # II and III are neighbours, in two bands
    assert pair["same_band"]["value"] == pytest.approx(band[known].mean())
    assert pair["within_one"]["value"] == 1.0 and pair["within_one"]["low"] > 0.95
    kappa = cohen_kappa_score(first[known], second[known], weights="quadratic")
    assert pair["kappa"] == pytest.approx(kappa)
    nothing = agreement(table.frame["sex"], table.frame["sex"], table.groups, resamples=100)
    assert nothing is None


def test_a_table_without_attributes_or_with_one_value_has_no_gaps():
    table = people(6, (60,))
    bare = Predictions(table.frame.drop(columns="sex"), table.logits, CLASSES)
    assert by_attribute(bare, resamples=100) == {}
    empty = Predictions(bare.frame.assign(sex=None), table.logits, CLASSES)
    assert by_attribute(empty, resamples=100) == {}
    assert by_attribute(table, resamples=100)["sex"]["gaps"] == {}


def test_a_free_text_makes_no_groups_anywhere():
    table = people(6, (450,))
    number = np.arange(450)
    frame = table.frame.assign(
        site=(number % 20).astype(str), words=(number % 21).astype(str), nothing=None
    )
    table = Predictions(frame, table.logits, CLASSES)
    calibrated = effect(build_calibrator("temperature").fit(table), table, resamples=100)
    sets = judge_sets(np.ones(table.logits.shape, bool), table, resamples=100)
    assert set(by_attribute(table, resamples=100)) == {"sex", "site"}
    assert {name.split()[0] for name in calibrated["groups"]} == {"sex", "site"}
    assert set(sets["by_attribute"]) == {"site"}  # sex has one value: nothing to compare


def test_without_malignant_classes_their_recall_is_not_defined():
    table = people(7, (60, 60))
    renamed = Predictions(
        table.frame.assign(label=[f"x{name}" for name in table.frame["label"]]),
        table.logits,
        tuple(f"x{name}" for name in CLASSES),
    )
    found = by_attribute(renamed, resamples=100)["sex"]
    assert found["values"]["a"]["malignant_recall"]["value"] is None
    assert "malignant_recall" not in found["gaps"] and "top1" in found["gaps"]


def test_fitzpatricks_malignant_classes_are_its_publishers(real_data):
    import pandas as pd

    from dermasense.data.sources.fitzpatrick21 import CLASS_NAMES

    table = pd.read_csv(real_data("fitzpatrick21") / "train.csv")
    truth = set(table.loc[table["three_partition_label"] == "malignant", "label"])
    assert set(malignant_classes(CLASS_NAMES)) == truth


def test_means_over_lesions():
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0] * 20)
    alone = mean_intervals({"x": values}, np.arange(100), shares=["x"])["x"]
    together = mean_intervals({"x": np.repeat(values, 5)}, np.repeat(np.arange(100), 5))["x"]
    assert alone.value == together.value == 0.6
    assert (together.n, together.n_groups) == (500, 100)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * np.sqrt(0.24 / 100), rel=0.12)
    nobody = mean_intervals({"x": np.zeros(50)}, np.arange(50), shares=["x"])["x"]
    assert nobody.low == 0 and 0.05 < nobody.high < 0.1
    far = mean_intervals({"top1": 9 * values - 12}, np.arange(100))["top1"]
    assert far.low < -6.6 < far.high


def test_the_ends_of_a_gap_are_students_for_correlated_groups():
    cov = 0.05**2 * np.array([[1, 0.6, 0.6], [0.6, 2, 0.6], [0.6, 0.6, 1]])
    points = np.array([0.8, 0.7, 0.5])
    draws = np.random.default_rng(0).multivariate_normal(points, cov, 4000).T
    behind = [Behind(100, 21, 20.0), Behind(90, 16, 15.0), Behind(80, 11, 10.0)]
    gap = gap_of("top1", ["a", "b", "c"], points, draws, behind)
    seen, freedom = np.cov(draws), np.array([20.0, 10.0])
    each = np.diag(seen)[[0, 2]] * (freedom + 1) / freedom
    error = np.sqrt(each.sum() - 2 * seen[0, 2])
    reach = t.ppf(1 - 0.05 / 2 / 3, each.sum() ** 2 / (each**2 / freedom).sum()) * error
    assert (gap.largest.worse, gap.largest.better, gap.pairs) == ("c", "a", 3)
    assert (gap.largest.low, gap.largest.high) == pytest.approx((0.3 - reach, 0.3 + reach))
    assert gap.level == pytest.approx(1 - 0.05 / 3)
    draws[0] = 1.0  # all right in every resample: Wilson's width, not none
    sure = gap_of("top1", ["a", "c"], np.array([1.0, 0.5]), draws[[0, 2]], [behind[0], behind[2]])
    assert sure.largest.low is not None and sure.largest.differs
