import numpy as np
import pytest

from dermasense.errors import DermaSenseError
from dermasense.evaluation.baselines import baselines

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
COUNTS = [327, 514, 1099, 115, 1113, 6705, 142]
LABELS = np.repeat(np.arange(7), COUNTS)


def test_baselines_of_ham10000_are_the_known_ones():
    always, chance = baselines(LABELS, NAMES).values()
    assert list(baselines(LABELS, NAMES)) == ["always nv, then mel", "stratified chance"]
    assert always["top1"] == pytest.approx(0.6695, abs=5e-5)
    assert always["top2"] == pytest.approx(0.781, abs=5e-4)
    assert always["weighted_f1"] == pytest.approx(0.537, abs=5e-4)
    assert always["macro_f1"] == pytest.approx(0.115, abs=5e-4)
    assert always["balanced_accuracy"] == chance["balanced_accuracy"] == pytest.approx(1 / 7)
    assert always["ece"] == pytest.approx(0.0, abs=1e-9)
    assert always["n"] == chance["n"] == 10015


def test_chance_is_what_a_simulated_guesser_gets():
    rng = np.random.default_rng(0)
    shares = np.array(COUNTS) / 10015
    got = baselines(LABELS, NAMES)["stratified chance"]
    guesses = np.argsort(-(np.log(shares) + rng.gumbel(size=(10015, 7))), axis=1)[:, :2]
    assert got["top1"] == pytest.approx((guesses[:, 0] == LABELS).mean(), abs=0.015)
    assert got["top2"] == pytest.approx((guesses == LABELS[:, None]).any(1).mean(), abs=0.015)
    assert got["top1"] == pytest.approx((shares**2).sum())


def test_answers_are_chosen_from_the_training_counts_where_given():
    test_labels = [0, 0, 0, 1]
    assert "always a, then b" in baselines(test_labels, ("a", "b", "c"))
    rows = baselines(test_labels, ("a", "b", "c"), counts=[1, 9, 5])
    assert rows["always b, then c"]["top1"] == 0.25
    assert rows["always b, then c"]["top2"] == 0.25


def test_class_never_seen_in_training_leaves_the_numbers_finite():
    rows = baselines([0, 1, 2], ("a", "b", "c"), counts=[5, 5, 0])
    assert rows["always a, then b"]["nll"] > 4
    assert rows["stratified chance"]["top1"] == pytest.approx(1 / 3)


def test_two_classes_have_no_top2_and_one_class_no_baseline():
    assert baselines([0, 1], ("a", "b"))["stratified chance"]["top2"] is None
    with pytest.raises(DermaSenseError, match="nothing to tell apart"):
        baselines([0], ("a",))
    with pytest.raises(DermaSenseError, match="do not fit the classes"):
        baselines([0, 1], ("a", "b"), counts=[1, 2, 3])
