import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn import metrics as sk
from torchmetrics.functional.classification import (
    binary_sensitivity_at_specificity,
    binary_specificity_at_sensitivity,
)

from dermasense.errors import DermaSenseError
from dermasense.evaluation.curves import class_curves, malignant_ranking
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import Scores

NAMES = ("bcc", "df", "mel", "nv")


def drawn(n=400, seed=0, present=4, names=NAMES):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, present, n)
    logits = rng.normal(size=(n, 4))
    logits[np.arange(n), labels] += 1.2
    frame = pd.DataFrame(
        {"image_id": range(n), "group": range(n), "label": [names[y] for y in labels]}
    )
    return Predictions(frame, logits, names)


def test_curves_and_areas_are_those_of_scikit_learn_and_of_the_bootstrap():
    table = drawn()
    p = softmax(table.logits, axis=1)
    scores = Scores(table)(np.ones((table.n_groups, 1)))
    for i, (name, curve) in enumerate(class_curves(table).items()):
        assert curve.n == (table.labels == i).sum()
        assert curve.auroc == pytest.approx(sk.roc_auc_score(table.labels == i, p[:, i]))
        assert curve.auroc == pytest.approx(scores[f"auroc/{name}"][0])
        assert curve.average_precision == pytest.approx(scores[f"average_precision/{name}"][0])
        area = sk.auc(curve.false_positive_rate, curve.sensitivity)
        assert area == pytest.approx(curve.auroc)
        assert (np.diff(curve.recall) >= 0).all()


def test_class_without_images_has_no_curve():
    assert class_curves(drawn(present=3))["nv"] is None


def test_malignant_ranking_sums_the_malignant_classes():
    table = drawn()
    scores, positive = malignant_ranking(table)
    np.testing.assert_allclose(scores, softmax(table.logits, axis=1)[:, [0, 2]].sum(1))
    np.testing.assert_array_equal(positive, np.isin(table.labels, [0, 2]))
    for malignant, word in (((), "none"), (NAMES, "all")):
        with pytest.raises(DermaSenseError, match=word):
            malignant_ranking(table, malignant)


def test_malignant_classes_are_known_by_the_names_of_any_data_set():
    known = Scores(drawn())(np.ones((400, 1)))["malignant_auroc"]
    for names in (
        ("MEL", "nv", "BCC", "df"),
        ("ak", "nv", "scc", "df"),
        ("melanoma", "eczema", "Kaposi sarcoma", "keloid"),
        ("ACK", "NEV", "squamous_cell carcinoma", "SEK"),
    ):
        renamed = Scores(drawn(names=names))(np.ones((400, 1)))
        assert renamed["malignant_auroc"] == pytest.approx(known)
    unknown = Scores(drawn(names=("benign", "b", "c", "d")))
    assert "malignant_auroc" not in unknown(np.ones((400, 1)))


def test_the_best_rates_of_the_bootstrap_are_those_of_torchmetrics():
    table = drawn()
    scores, positive = (torch.from_numpy(each) for each in malignant_ranking(table))
    values = Scores(table)(np.ones((table.n_groups, 1)))
    for name, rate in (
        ("sensitivity_at_90_specificity", binary_sensitivity_at_specificity),
        ("specificity_at_90_sensitivity", binary_specificity_at_sensitivity),
    ):
        want, _ = rate(scores, positive.int(), 0.9)
        assert values[f"malignant_{name}"][0] == pytest.approx(float(want), abs=1e-6)
