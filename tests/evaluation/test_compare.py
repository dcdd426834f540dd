import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

from dermasense.errors import DermaSenseError
from dermasense.evaluation.compare import delong, differences, holm, mcnemar, paired
from dermasense.evaluation.curves import malignant_ranking
from dermasense.evaluation.predictions import Predictions

NAMES = ("df", "mel", "nv")


def drawn(n=300, seed=0, skill=(1.0, 1.0), per_group=1):
    """Two models on the same images, with errors of their own and errors in common."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) // per_group
    labels = rng.integers(0, 3, groups[-1] + 1)[groups]
    shared = rng.normal(size=(n, 3))
    frame = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(n)],
            "group": groups,
            "label": [NAMES[y] for y in labels],
        }
    )
    lesion = rng.normal(size=(2, groups[-1] + 1, 3))[:, groups]
    return tuple(
        Predictions(frame, shared + lesion[k] + skill[k] * np.eye(3)[labels], NAMES)
        for k in range(2)
    )


def test_rows_are_matched_by_image_and_classes_by_name():
    first, second = drawn(20)
    order = np.random.default_rng(0).permutation(20)
    _, matched = paired(first, second.rows(order).in_order(("nv", "df", "mel")))
    np.testing.assert_array_equal(matched.logits, second.logits)
    assert matched.class_names == NAMES


def nll(table):
    """Of each image, (N,)."""
    return -log_softmax(table.logits, axis=1)[np.arange(len(table)), table.labels]


def test_tables_of_different_images_or_truths_are_refused():
    first, second = drawn(20)
    with pytest.raises(DermaSenseError, match="20 and 19 images"):
        paired(first, second.rows(np.arange(19)))
    other = second.frame.assign(label=["nv", *second.frame["label"][1:]])
    other.loc[0, "label"] = "df" if first.frame["label"][0] != "df" else "nv"
    with pytest.raises(DermaSenseError, match="Image i0 has the label"):
        paired(first, Predictions(other, second.logits, NAMES))


def test_difference_is_second_minus_first_and_settled_by_pairing():
    first, second = drawn(600, skill=(1.0, 2.0))
    got = differences(first, second, resamples=1000)
    accuracy = [(each.logits.argmax(1) == each.labels).mean() for each in (first, second)]
    assert got["top1"].value == pytest.approx(accuracy[1] - accuracy[0])
    assert 0 < got["top1"].low < got["top1"].value < got["top1"].high
    gain = nll(second) - nll(first)
    assert got["nll"].value == pytest.approx(gain.mean())
    width = 2 * 1.96 * gain.std(ddof=1) / np.sqrt(600)  # 1.3 times that if drawn apart
    assert got["nll"].high - got["nll"].low == pytest.approx(width, rel=0.1)
    assert got["nll"].high < 0
    assert got["top1"].n == 600
    reverse = differences(second, first, resamples=1000)
    assert reverse["top1"].low == pytest.approx(-got["top1"].high, abs=0.01)


def test_differences_of_shares_hold_the_truth_as_often_as_they_say():
    """Two models that are as good and seldom differ, on 40 lesions of two images."""
    held = {name: [] for name in ("top1", "balanced_accuracy", "recall/mel")}
    for seed in range(120):
        models = drawn(80, seed, (4.0, 4.0), per_group=2)
        got = differences(*models, resamples=100, seed=seed, ranking=False)
        for name, each in held.items():
            each.append(got[name].low is not None and got[name].low <= 0 <= got[name].high)
    # 120 data sets leave a standard error of 2 points; BCa holds 0 in .89, .89 and .75 of 200.
    assert min(np.mean(each) for each in held.values()) >= 0.91


def test_model_against_itself_differs_in_nothing():
    first, _ = drawn(60)
    got = differences(first, first, resamples=100)
    assert got["macro_f1"].value == 0.0
    assert got["top1"].high == -got["top1"].low == pytest.approx(1 - 0.05 ** (1 / 60))
    assert mcnemar(first, first).p is None
    assert delong(first, first).p is None


def test_mcnemar_of_single_images_is_the_textbook_one():
    first, second = drawn(400, skill=(1.0, 1.6))
    right = [each.logits.argmax(1) == each.labels for each in (first, second)]
    only_first, only_second = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
    got = mcnemar(first, second)
    assert only_first + only_second >= 25
    want = (only_second - only_first) ** 2 / (only_second + only_first)
    assert got.statistic == pytest.approx(want)
    assert got.p == pytest.approx(stats.chi2.sf(want, 1))
    assert got.difference == pytest.approx((only_second - only_first) / 400)


def test_mcnemar_of_few_discordant_images_is_exact():
    frame = pd.DataFrame({"image_id": range(6), "group": range(6), "label": ["nv"] * 6})
    first = Predictions(frame, np.eye(3)[[0] * 5 + [2]], NAMES)
    second = Predictions(frame, np.eye(3)[[2] * 6], NAMES)
    assert mcnemar(first, second).p == pytest.approx(2 * 0.5**5)


def test_tests_keep_their_level_where_lesions_have_several_images():
    p = [
        (mcnemar(*models).p, delong(*models).p)
        for models in (drawn(240, seed=seed, per_group=4) for seed in range(250))
    ]
    # McNemar over images would find a difference that is not there in 19 % of these.
    assert (np.mean(np.array(p) < 0.05, axis=0) < 0.09).all()


def test_delong_is_that_of_the_paper_for_single_images():
    first, second = drawn(300, skill=(1.0, 1.5))
    got = delong(first, second)
    parts = []
    for each in (first, second):
        scores, positive = malignant_ranking(each)
        psi = (scores[positive][:, None] > scores[~positive]).astype(float)
        parts.append((psi.mean(1), psi.mean(0), roc_auc_score(positive, scores)))
    up, down = parts[1][0] - parts[0][0], parts[1][1] - parts[0][1]
    error = np.sqrt(up.var(ddof=1) / len(up) + down.var(ddof=1) / len(down))
    assert got.difference == pytest.approx(parts[1][2] - parts[0][2])
    assert got.statistic == pytest.approx(got.difference / error, rel=0.01)
    assert got.p == pytest.approx(2 * stats.norm.sf(abs(got.statistic)))
    back = delong(second, first)
    assert (back.statistic, back.p) == pytest.approx((-got.statistic, got.p))


def test_delong_of_repeated_images_is_that_of_the_lesions():
    first, second = drawn(100, skill=(1.0, 1.5))

    def thrice(table):
        rows = np.repeat(np.arange(100), 3)
        frame = table.frame.iloc[rows].assign(image_id=np.arange(300).astype(str))
        return Predictions(frame, table.logits[rows], NAMES)

    once, got = delong(first, second), delong(thrice(first), thrice(second))
    assert got.statistic == pytest.approx(once.statistic)
    assert (got.n, got.n_groups) == (300, 100)


def test_a_difference_is_as_settled_as_the_less_settled_of_its_two():
    first, _ = drawn(90)
    seldom = first.logits - [0, 0, 20]
    seldom[:4] += [0, 0, 40]  # only four images are answered with nv
    for pair in ((first, first.with_logits(seldom)), (first.with_logits(seldom), first)):
        found = differences(*pair, resamples=100)["precision/nv"]
        assert (found.n, found.n_groups) == (4, 4)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_higher_level_widens_the_interval_of_a_difference():
    first, second = drawn(200, skill=(1.0, 1.5))
    usual, wide = (
        differences(first, second, resamples=1000, level=level, ranking=False)["nll"]
        for level in (0.95, 0.99)
    )
    assert wide.low < usual.low and usual.high < wide.high
