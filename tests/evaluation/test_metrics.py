import json
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.classification import MulticlassCalibrationError

from dermasense.errors import DermaSenseError
from dermasense.evaluation import metrics
from dermasense.evaluation.metrics import MONITORS, quick, summarise
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.protocol import BY_IMAGE, GROUPED, LEAKY, is_leaky

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
SHARES = np.array([327, 514, 1099, 115, 1113, 6705, 142]) / 10015


def table(logits, labels, names=NAMES, per_group=2, **columns):
    n = len(labels)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(n)],
            "group": [f"g{k // per_group}" for k in range(n)],
            "label": [names[y] for y in labels],
            **columns,
        }
    )
    return Predictions(frame, np.asarray(logits, dtype=float), names)


def drawn(n=600, seed=0, classes=7):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=SHARES[:classes] / SHARES[:classes].sum())
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1.5
    return logits, labels


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_summary_has_exactly_the_documented_keys_and_is_json():
    summary = summarise(table(*drawn()), split_protocol=GROUPED)
    assert " ".join(summary) == (
        "protocol n n_groups top1 top2 balanced_accuracy macro_f1 micro_f1 weighted_f1 kappa "
        "auroc_macro nll brier ece per_class confusion_matrix class_names"
    )
    assert list(summary["per_class"]) == list(NAMES)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary["n"], summary["n_groups"], summary["protocol"]) == (600, 300, "grouped")


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_scikit_learn_and_torchmetrics(seed):
    logits, y = drawn(seed=seed)
    p, a = softmax(logits), logits.argmax(1)
    got = summarise(table(logits, y), split_protocol=GROUPED)
    want = {
        "top1": sk.accuracy_score(y, a),
        "top2": sk.top_k_accuracy_score(y, p, k=2),
        "balanced_accuracy": sk.balanced_accuracy_score(y, a),
        "macro_f1": sk.f1_score(y, a, average="macro"),
        "micro_f1": sk.f1_score(y, a, average="micro"),
        "weighted_f1": sk.f1_score(y, a, average="weighted"),
        "kappa": sk.cohen_kappa_score(y, a),
        "auroc_macro": sk.roc_auc_score(y, p, multi_class="ovr", average="macro"),
        "nll": sk.log_loss(y, p),
        "ece": float(
            MulticlassCalibrationError(7, n_bins=15)(torch.from_numpy(p), torch.from_numpy(y))
        ),
        "brier": float(((p - np.eye(7)[y]) ** 2).sum(1).mean()),
    }
    assert {k: got[k] for k in want} == pytest.approx(want, abs=1e-6)
    assert got["confusion_matrix"] == sk.confusion_matrix(y, a).tolist()
    prf = sk.precision_recall_fscore_support(y, a)
    for i, name in enumerate(NAMES):
        row = got["per_class"][name]
        assert row["precision"] == pytest.approx(prf[0][i])
        assert row["recall"] == pytest.approx(prf[1][i])
        assert row["f1"] == pytest.approx(prf[2][i])
        assert row["n"] == prf[3][i]


def test_quick_gives_the_values_of_the_summary_and_the_names_of_the_monitors():
    logits, y = drawn()
    fast, whole = quick(logits, y, 7), summarise(table(logits, y), split_protocol=GROUPED)
    assert set(fast) == set(MONITORS) - {"loss"}
    assert fast == pytest.approx({k: whole[k] for k in fast})
    assert quick(torch.from_numpy(logits), torch.from_numpy(y), 7) == fast
    assert set(MONITORS.values()) == {"max", "min"}


def test_quick_is_cheap():
    logits, y = drawn(n=1500)
    quick(logits, y, 7)
    start = time.process_time()
    for _ in range(20):
        quick(logits, y, 7)
    assert (time.process_time() - start) / 20 < 0.02  # about 0.0005 of processor time


def test_always_nv_on_ham10000_is_what_it_is():
    y = np.repeat(np.arange(7), [327, 514, 1099, 115, 1113, 6705, 142])
    logits = np.tile([0, 0, 0, 0, 1.0, 2.0, 0], (len(y), 1))
    got = summarise(table(logits, y), split_protocol=GROUPED)
    assert got["top1"] == pytest.approx(0.6695, abs=5e-5)
    assert got["weighted_f1"] == pytest.approx(0.537, abs=5e-4)
    assert got["macro_f1"] == pytest.approx(0.115, abs=5e-4)
    assert got["balanced_accuracy"] == pytest.approx(1 / 7)
    assert got["top2"] == pytest.approx(0.781, abs=5e-4)
    assert got["kappa"] == pytest.approx(0.0)
    assert got["auroc_macro"] == pytest.approx(0.5)
    assert got["per_class"]["mel"] == {"precision": None, "recall": 0.0, "f1": 0.0, "n": 1113}


def test_class_absent_from_labels_and_answers_is_left_out_of_means():
    logits, y = drawn()
    wide = np.column_stack([logits, np.full(len(y), -50.0)])
    narrow = summarise(table(logits, y), split_protocol=GROUPED)
    got = summarise(table(wide, y, names=(*NAMES, "scc")), split_protocol=GROUPED)
    for name in ("balanced_accuracy", "macro_f1", "weighted_f1", "kappa", "auroc_macro", "nll"):
        assert got[name] == pytest.approx(narrow[name]), name
    assert got["per_class"]["scc"] == {"precision": None, "recall": None, "f1": None, "n": 0}


def test_class_that_is_only_answered_counts_in_macro_f1_as_in_scikit_learn():
    y, logits = np.array([0, 0, 1, 1]), np.eye(3)[[0, 2, 1, 1]]
    got = summarise(table(logits, y, names=("a", "b", "c")), split_protocol=GROUPED)
    assert got["macro_f1"] == pytest.approx(sk.f1_score(y, [0, 2, 1, 1], average="macro"))
    assert got["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert got["balanced_accuracy"] == pytest.approx(0.75)
    assert got["per_class"]["c"] == {"precision": 0.0, "recall": None, "f1": 0.0, "n": 0}


def test_one_class_only_or_one_row_only_gives_none_where_nothing_is_defined():
    for logits, y in [(np.eye(3)[[0, 0, 1]], [0, 0, 0]), (np.eye(3)[[0]], [0])]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = summarise(table(logits, y, names=("a", "b", "c")), split_protocol=GROUPED)
        assert got["kappa"] is None
        assert got["auroc_macro"] is None
        assert got["top1"] == got["balanced_accuracy"] == pytest.approx(np.mean(logits[:, 0]))
        assert got["nll"] > 0
    assert (got["n"], got["n_groups"]) == (1, 1)


def test_ties_go_to_the_class_that_stands_first_so_that_top1_is_argmax():
    logits = np.zeros((3, 3))
    y = np.array([0, 1, 2])
    np.testing.assert_array_equal(metrics.ranks(logits, y), [0, 1, 2])
    got = summarise(table(logits, y, names=("a", "b", "c")), split_protocol=GROUPED)
    assert got["top1"] == pytest.approx(1 / 3)
    assert got["top2"] == pytest.approx(2 / 3)


def test_top2_of_two_classes_is_not_defined():
    logits, y = np.eye(2)[[0, 1, 1]], [0, 1, 0]
    summary = summarise(table(logits, y, names=("a", "b")), split_protocol=GROUPED)
    assert summary["top2"] is None
    assert np.isnan(quick(logits, y, 2)["top2"])


def test_nll_does_not_clip_an_overconfident_wrong_answer():
    got = summarise(table([[1e4, 0.0, 0.0]], [1], names=("a", "b", "c")), split_protocol=GROUPED)
    assert got["nll"] == pytest.approx(1e4)
    assert got["brier"] == pytest.approx(2.0)
    assert got["ece"] == pytest.approx(1.0)


def test_ece_bins_are_closed_above():
    np.testing.assert_array_equal(
        metrics.confidence_bins(np.array([0.0, 0.2, 0.2001, 1.0]), bins=5), [0, 0, 1, 4]
    )


def test_ece_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    y = np.array([0, 1, 1, 1])
    assert metrics.ece(p, y) == pytest.approx(0.5 * abs(0.5 - 0.9) + 0.5 * abs(1.0 - 0.6))


def test_ece_of_bins_of_as_many_images_by_hand():
    rng = np.random.default_rng(0)
    top, right = np.linspace(0.51, 0.99, 60), rng.random(60) < 0.4
    order = rng.permutation(60)
    p, y = np.stack([top, 1 - top], axis=1)[order], np.where(right, 0, 1)[order]
    for bins, options in ((15, {}), (5, {"bins": 5})):
        known = np.abs((right - top).reshape(bins, -1).sum(axis=1)).sum() / 60
        assert metrics.ece_equal_mass(p, y, **options)[0] == pytest.approx(known)
    alike = np.full((60, 2), 0.5)  # equal confidences share a bin, here all
    assert metrics.ece_equal_mass(alike, y)[0] == pytest.approx(abs(right.mean() - 0.5))


def test_shuffled_rows_and_shuffled_classes_change_nothing():
    logits, y = drawn()
    order = np.random.default_rng(1).permutation(len(y))
    swap = np.array([6, 2, 0, 5, 1, 3, 4])
    base = summarise(table(logits, y), split_protocol=GROUPED)
    rows = summarise(table(logits[order], y[order]), split_protocol=GROUPED)
    names = tuple(NAMES[c] for c in swap)
    classes = summarise(
        table(logits[:, swap], np.argsort(swap)[y], names=names), split_protocol=GROUPED
    )
    for other in (rows, classes):
        for name, value in base["per_class"].items():
            assert other["per_class"][name] == pytest.approx(value)
        for name in ("top1", "top2", "macro_f1", "kappa", "auroc_macro", "nll", "brier", "ece"):
            assert other[name] == pytest.approx(base[name]), name


def test_quick_is_nan_where_training_diverged_and_where_nothing_came():
    logits, y = drawn()
    logits[3, 2] = np.inf
    assert all(np.isnan(v) for v in quick(logits, y, 7).values())
    assert all(np.isnan(v) for v in quick(np.zeros((0, 7)), np.zeros(0), 7).values())


def test_group_in_two_folds_is_refused_unless_the_protocol_says_leaky():
    logits, y = drawn(n=6)
    folds = {"fold": [0, 1, 0, 0, 1, 1]}
    with pytest.raises(DermaSenseError, match="Group g0 stands in more than one fold"):
        summarise(table(logits, y, **folds), split_protocol=GROUPED)
    assert summarise(table(logits, y, **folds), split_protocol=LEAKY)["protocol"] == LEAKY


@pytest.mark.parametrize(
    ("protocol", "leaky"),
    [
        (LEAKY, True),
        (f"{LEAKY}, out-of-fold", True),
        ("leaky, on purpose", True),
        (GROUPED, False),
        (BY_IMAGE, False),
        ("not leaky", False),
        ("", False),
    ],
)
def test_a_leaky_split_is_told_by_its_words(protocol, leaky):
    assert is_leaky(protocol) is leaky


def test_a_class_that_is_neither_seen_nor_answered_counts_as_0_in_f1():
    labels = np.array([0, 0, 1, 1])
    logits = np.array([[2.0, 0, -9], [2.0, 0, -9], [0, 2.0, -9], [0, 2.0, -9]])
    summary = summarise(table(logits, labels, names=("a", "b", "c")), split_protocol=GROUPED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sk.f1_score(labels, [0, 0, 1, 1], average="macro", zero_division=0)
    assert summary["macro_f1"] == pytest.approx(expected)


def test_one_image_has_metrics():
    assert quick(np.array([[3.0, 0.0]]), np.array([0]), 2)["top1"] == 1.0


def test_a_class_of_one_image_has_an_area():
    scores = np.array([[0.1, 0.9], [0.6, 0.4], [0.8, 0.2]])
    assert metrics.auroc_per_class(scores, np.array([1, 0, 0])).tolist() == [1.0, 1.0]


def test_the_number_of_bins_is_the_callers():
    logits, labels = drawn()
    p = softmax(logits)
    theirs = MulticlassCalibrationError(7, n_bins=4)(torch.tensor(p), torch.tensor(labels))
    assert metrics.ece(p, labels, bins=4) == pytest.approx(theirs.item(), abs=1e-6)
    assert metrics.ece(p, labels, bins=4) != metrics.ece(p, labels)
    assert metrics.confidence_bins(np.array([1.0]))[0] == 14
