import numpy as np
import pytest
from sklearn import metrics as sk

from dermasense.evaluation import confusion


@pytest.fixture(params=range(4))
def answers(request):
    rng = np.random.default_rng(request.param)
    labels = rng.choice(5, 40, p=[0.6, 0.2, 0.1, 0.1, 0.0])
    return labels, np.where(rng.random(40) < 0.5, labels, rng.integers(0, 5, 40))


def test_scores_are_those_of_scikit_learn_one_by_one_and_in_a_batch(answers):
    y, a = answers
    counts = confusion.confusion_matrix(y, a, 5)
    np.testing.assert_array_equal(counts, sk.confusion_matrix(y, a, labels=range(5)))
    want = {
        "accuracy": sk.accuracy_score(y, a),
        "macro_f1": sk.f1_score(y, a, average="macro"),
        "weighted_f1": sk.f1_score(y, a, average="weighted"),
        "kappa": sk.cohen_kappa_score(y, a),
        "mcc": sk.matthews_corrcoef(y, a),
    }
    for name, value in want.items():
        score = getattr(confusion, name)
        assert score(counts) == pytest.approx(value), name
        np.testing.assert_allclose(score(np.stack([counts, 3.0 * counts])), [value, value])
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert confusion.balanced_accuracy(counts) == pytest.approx(
            sk.balanced_accuracy_score(y, a)
        )


def test_nothing_to_score_is_nan_and_never_a_warning():
    nothing = np.zeros((2, 3, 3))
    for name in ("accuracy", "macro_f1", "weighted_f1", "kappa", "mcc", "balanced_accuracy"):
        assert np.isnan(getattr(confusion, name)(nothing)).all(), name


def test_one_class_in_the_labels_leaves_agreement_undefined():
    counts = np.array([[3, 2], [0, 0]])
    assert np.isnan(confusion.kappa(counts))
    assert np.isnan(confusion.mcc(counts))


def test_one_class_in_the_answers_is_no_better_than_chance():
    counts = np.array([[3, 0], [2, 0]])
    assert confusion.kappa(counts) == pytest.approx(0.0)
    assert confusion.mcc(counts) == pytest.approx(0.0)
