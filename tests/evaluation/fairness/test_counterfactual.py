"""Shifts between tones, their controls, and what they are said to change."""

import numpy as np
import pandas as pd
import pytest

from dermasense.errors import DermaSenseError
from dermasense.evaluation.fairness.counterfactual import changes, medians, plan_shifts, summary

RNG = np.random.default_rng(0)
TYPES = np.repeat([1.0, 3.0, 6.0, np.nan], [40, 40, 40, 10])
CENTRES = {1.0: (70, 10), 3.0: (60, 20), 6.0: (40, 12)}
TONES = np.array([CENTRES.get(kind, (0, 0)) for kind in TYPES]) + RNG.normal(0, 4, (130, 2))


def test_medians_are_those_of_the_types_that_have_enough_images():
    found = medians(TONES, np.where(np.arange(130) >= 90, np.nan, TYPES))
    assert sorted(found) == [1, 3]  # ten images of type 6 settle no median
    assert found[1] == pytest.approx(np.median(TONES[:40], axis=0))
    values = TONES.copy()
    values[:5] = np.nan  # too little skin
    assert medians(values, TYPES)[1] == pytest.approx(np.median(TONES[5:40], axis=0))
    with pytest.raises(DermaSenseError, match="Only 1 skin types"):
        medians(TONES[:40], TYPES[:40])


def test_each_image_goes_to_each_other_type_and_its_control_goes_as_far():
    middle = medians(TONES, TYPES)
    asked = np.array([1.0, 6.0, np.nan, 2.0])  # type 2 has no median, one type is missing
    plan = plan_shifts(asked, middle, TONES, TYPES, seed=0)
    assert sorted(zip(plan.row.tolist(), plan.target.tolist(), strict=True)) == [
        (0, 3),
        (0, 6),
        (1, 1),
        (1, 3),
    ]
    first = np.flatnonzero((plan.row == 0) & (plan.target == 6))[0]
    assert plan.vector[first] == pytest.approx(middle[6] - middle[1])
    assert np.linalg.norm(plan.control, axis=1) == pytest.approx(
        np.linalg.norm(plan.vector, axis=1)
    )
    again = plan_shifts(asked, middle, TONES, TYPES, seed=0)
    assert np.array_equal(plan.control, again.control)


def test_controls_have_no_side():
    """Within a tone there is no direction: lighter and darker are drawn alike."""
    plan = plan_shifts(np.full(2000, 1.0), medians(TONES, TYPES), TONES, TYPES, seed=1)
    assert abs((plan.control[:, 0] > 0).mean() - 0.5) < 0.03


def test_changes():
    before = np.log([[0.7, 0.3], [0.7, 0.3]])
    after = np.log([[0.2, 0.8], [0.7, 0.3]])
    changed, moved = changes(before, after + 5.0)
    assert changed.tolist() == [True, False]
    assert moved == pytest.approx([0.5, 0.0])


def test_a_model_that_hangs_on_the_tone_has_an_excess_and_another_has_none():
    rng = np.random.default_rng(3)
    n = 200
    table = pd.DataFrame({"image_id": np.arange(n).astype(str), "group": np.arange(n) // 2})
    table["skin_type"] = np.resize([1.0, 3.0, 5.0], n)
    table = pd.concat([table.assign(target=goal) for goal in (2, 6)], ignore_index=True)
    table["length"] = 10.0
    for name, share in (("", 0.5), ("_control", 0.2)):
        table[f"changed{name}"] = rng.random(len(table)) < share
        table[f"moved{name}"] = share * rng.random(len(table))
    rows = {(row["origin"], row["target"]): row for row in summary(table, resamples=300)}
    assert set(rows) == {("all", "all"), ("I-II", "all"), ("III-IV", "all"), ("V-VI", "all"),
                         ("all", "II"), ("all", "VI")}  # fmt: skip
    assert (rows["I-II", "all"]["n"], rows["V-VI", "all"]["n"]) == (67, 66)
    whole = rows["all", "all"]
    assert (whole["n"], whole["n_groups"], whole["length"]) == (200, 100, 10.0)
    assert whole["changed_excess"].value == pytest.approx(
        whole["changed"].value - whole["changed_control"].value
    )
    assert whole["changed_excess"].low > 0.15 and whole["moved_excess"].low > 0.1
    table["changed_control"] = rng.permutation(table["changed"])
    none = summary(table, resamples=300)[0]["changed_excess"]
    assert none.low < 0 < none.high


def test_a_control_moves_as_images_of_its_own_type_differ():
    types = np.repeat([1.0, 6.0], 40)
    values = np.repeat([[70.0, 10.0], [40.0, 12.0]], 40, axis=0)
    values[:40, 0] += np.random.default_rng(0).normal(0, 4, 40)  # type 1 differs in L* alone
    values[:10] = np.nan  # too little skin
    plan = plan_shifts(types, medians(values, types), values, types, seed=0)
    own = types[plan.row] == 1
    assert own.sum() == 40 and np.isfinite(plan.control).all()
    assert plan.control[own, 1] == pytest.approx(0)
