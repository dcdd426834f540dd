"""Class and group drawn alike; images without a group at their natural rate."""

import numpy as np
import pandas as pd
import pytest

from dermasense.data.balance import build_rows
from dermasense.data.group_sampling import GroupSampler, cell_weights
from dermasense.errors import DermaSenseError

LABELS = np.repeat([0, 0, 0, 1, 1], [60, 20, 20, 8, 2])
GROUPS = np.repeat([0, 1, -1, 0, 1], [60, 20, 20, 8, 2])


def test_a_draw_shows_classes_alike_and_groups_of_a_class_alike():
    weights = cell_weights(LABELS, GROUPS, 2)
    cells = pd.Series(weights).groupby([LABELS, GROUPS]).sum()
    # class 0: a fifth has no group and keeps that share; the rest falls to its two groups alike.
    assert cells.to_dict() == pytest.approx(
        {(0, -1): 0.5 * 0.2, (0, 0): 0.5 * 0.4, (0, 1): 0.5 * 0.4, (1, 0): 0.25, (1, 1): 0.25}
    )
    for _, part in pd.Series(weights).groupby([LABELS, GROUPS]):
        assert part.nunique() == 1


def test_a_class_that_lacks_a_group_is_drawn_as_often_as_the_others():
    labels, groups = np.repeat([0, 0, 1], [4, 2, 4]), np.repeat([0, 1, 0], [4, 2, 4])
    known = np.repeat([0.25 / 4, 0.25 / 2, 0.5 / 4], [4, 2, 4])
    assert cell_weights(labels, groups, 2) == pytest.approx(known)


def test_draws_follow_the_weights_and_repeat():
    sampler = GroupSampler(LABELS, GROUPS, 2)
    order = np.concatenate([sampler.order(np.random.default_rng([1, e])) for e in range(2000)])
    seen = np.bincount(order, minlength=len(LABELS)) / len(order)
    assert seen == pytest.approx(sampler.weights, abs=0.004)
    assert len(sampler) == 110 and order.dtype == np.int64
    again = sampler.order(np.random.default_rng([1, 0]))
    assert np.array_equal(again, order[:110])


def test_without_any_group_it_is_the_class_sampler():
    weights = cell_weights(LABELS, np.full(len(LABELS), -1), 2)
    assert weights == pytest.approx(np.where(LABELS == 0, 0.5 / 100, 0.5 / 10))


@pytest.mark.parametrize("column", ["skin_typ", "path"])
def test_an_attribute_that_is_none_is_a_sentence(column):
    frame = pd.DataFrame({"path": "x", "skin_type": GROUPS + 1.0}, index=range(len(LABELS)))
    with pytest.raises(DermaSenseError, match=f"no attribute '{column}'.*skin_type"):
        build_rows("group_sampler", LABELS, [], ("a", "b"), seed=0, frame=frame, attribute=column)


def test_one_group_is_nothing_to_balance():
    frame = pd.DataFrame({"skin_type": np.ones(len(LABELS))})
    with pytest.raises(DermaSenseError, match="has 1 groups"):
        build_rows("group_sampler", LABELS, [], ("a", "b"), seed=0, frame=frame)
