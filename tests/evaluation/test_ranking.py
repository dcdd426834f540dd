import numpy as np
import pytest
from sklearn import metrics as sk

from dermasense.evaluation.ranking import Ranking


def drawn(seed, ties):
    rng = np.random.default_rng(seed)
    positive = rng.random(80) < 0.3
    scores = rng.normal(size=80) + positive
    weights = rng.integers(0, 4, size=(80, 3)).astype(float)
    return (np.round(scores, 1) if ties else scores), positive, weights


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_weighing_equals_scikit_learn_on_repeated_rows(seed, ties):
    scores, positive, weights = drawn(seed, ties)
    curves = Ranking(scores, positive).weigh(weights)
    for column in range(3):
        rows = np.repeat(np.arange(80), weights[:, column].astype(int))
        y, s = positive[rows], scores[rows]
        false, true, _ = sk.roc_curve(y, s, drop_intermediate=False)
        assert curves.auroc()[column] == pytest.approx(sk.roc_auc_score(y, s))
        ap = sk.average_precision_score(y, s)
        assert curves.average_precision()[column] == pytest.approx(ap)
        sensitivity = curves.sensitivity_at_specificity(0.9)[column]
        assert sensitivity == pytest.approx(true[false <= 0.1 + 1e-9].max())
        specificity = curves.specificity_at_sensitivity(0.9)[column]
        assert specificity == pytest.approx(1 - false[true >= 0.9 - 1e-9].min())


def test_groups_share_a_row_of_weights():
    scores, positive, _ = drawn(0, ties=True)
    groups = np.arange(80) // 4
    weights = np.random.default_rng(1).integers(0, 3, size=(20, 2)).astype(float)
    by_group = Ranking(scores, positive, groups).weigh(weights)
    by_image = Ranking(scores, positive).weigh(weights[groups])
    np.testing.assert_array_equal(by_group.auroc(), by_image.auroc())


def test_missing_side_is_nan():
    weights = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    curves = Ranking(np.array([0.9, 0.1]), np.array([True, False])).weigh(weights)
    np.testing.assert_array_equal(curves.auroc(), [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(curves.average_precision(), [1.0, np.nan, 1.0])
    np.testing.assert_array_equal(curves.sensitivity_at_specificity(0.9), [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(curves.specificity_at_sensitivity(0.9), [1.0, np.nan, np.nan])
