"""The ISIC submission is accepted by the challenge's own scorer, and its scores are ours."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.isic_submission import COLUMNS, challenge_scores, write_submission
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(7), rng.choice(7, 293, p=[0.05] * 5 + [0.7, 0.05])])
    logits = rng.normal(0, 1.5, (300, 7))
    logits[np.arange(300), labels] += 1.5
    ids = [f"ISIC_{i:07d}" for i in range(300)]
    frame = pd.DataFrame({"image_id": ids, "group": ids, "label": [NAMES[c] for c in labels]})
    return Predictions(frame, logits, NAMES)


def test_the_file_has_the_challenges_columns_and_the_tables_probabilities(predictions, tmp_path):
    table = pd.read_csv(write_submission(tmp_path / "submission.csv", predictions))
    assert list(table) == ["image", *COLUMNS]
    assert table["image"].tolist() == predictions.frame["image_id"].tolist()
    shares = softmax(predictions.logits, axis=1)
    np.testing.assert_allclose(table["MEL"], shares[:, NAMES.index("mel")])
    np.testing.assert_allclose(table[list(COLUMNS)].sum(axis=1), 1)


def test_our_metrics_are_those_of_the_challenges_scorer(predictions, tmp_path, monkeypatch):
    scoring = pytest.importorskip(
        "isic_challenge_scoring.classification", reason="needs pip install isic-challenge-scoring"
    )
    # Version 5.6 calls applymap, which pandas 3 knows by the name of map alone.
    monkeypatch.setattr(pd.DataFrame, "applymap", pd.DataFrame.map, raising=False)
    truth = tmp_path / "truth.csv"
    _truth(predictions).to_csv(truth, index=False)
    submission = write_submission(
        tmp_path / "submission.csv", predictions.rows(np.arange(300)[::-1])
    )
    theirs = _scored(scoring, truth, submission)
    ours = challenge_scores(predictions)
    assert ours.balanced_accuracy == pytest.approx(theirs.overall)
    for name, column in (
        ("auc", "auc"),
        ("average_precision", "ap"),
        ("sensitivity", "sensitivity"),
        ("specificity", "specificity"),
    ):
        expected = theirs.per_category[column]
        assert getattr(ours, name) == pytest.approx(dict(zip(COLUMNS, expected, strict=True)))
    summary = summarise(predictions, split_protocol="p")  # what reports show
    assert summary["balanced_accuracy"] == pytest.approx(theirs.overall)
    assert summary["auroc_macro"] == pytest.approx(theirs.macro_average["auc"])
    shown = intervals(predictions, resamples=100)
    assert shown["average_precision_macro"].value == pytest.approx(theirs.macro_average["ap"])
    for code, row in zip(COLUMNS, theirs.per_category.itertuples(), strict=True):
        name = code.lower()
        assert shown[f"auroc/{name}"].value == pytest.approx(row.auc)
        assert shown[f"average_precision/{name}"].value == pytest.approx(row.ap)


def _truth(predictions):
    """The labels as the challenge's ground truth: 1.0 for the class, else 0.0."""
    labels = predictions.frame["label"].str.upper()
    hot = {name: (labels == name).astype(float) for name in COLUMNS}
    return pd.DataFrame({"image": predictions.frame["image_id"], **hot})


def _scored(scoring, truth, submission):
    metric = scoring.ClassificationMetric.BALANCED_ACCURACY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scoring.ClassificationScore.from_file(truth, submission, metric)


def test_a_class_without_images_is_nan_and_never_a_silent_value(predictions):
    scores = challenge_scores(predictions.rows(predictions.labels != NAMES.index("df")))
    for each in (scores.auc, scores.average_precision, scores.sensitivity):
        assert np.isnan(each["DF"]) and np.isfinite(each["MEL"])


def test_other_classes_are_refused(predictions, tmp_path):
    frame = predictions.frame.replace("df", "scc")
    other = Predictions(frame, predictions.logits, tuple(frame["label"].unique()))
    with pytest.raises(DermaSenseError, match="only a table of these seven"):
        write_submission(tmp_path / "x.csv", other)


def test_scores_by_class_are_scikit_learns(predictions):
    from sklearn import metrics

    scores, shares = challenge_scores(predictions), softmax(predictions.logits, axis=1)
    answers = shares.argmax(axis=1)
    expected = metrics.balanced_accuracy_score(predictions.labels, answers)
    assert scores.balanced_accuracy == pytest.approx(expected)
    for code, name in enumerate(NAMES):
        true, p, key = (predictions.labels == code).astype(int), shares[:, code], name.upper()
        found = (p > 0.5).astype(int)
        assert scores.sensitivity[key] == pytest.approx(metrics.recall_score(true, found))
        assert scores.specificity[key] == pytest.approx(metrics.recall_score(1 - true, 1 - found))
        assert scores.auc[key] == pytest.approx(metrics.roc_auc_score(true, p))
        expected = metrics.average_precision_score(true, p)
        assert scores.average_precision[key] == pytest.approx(expected)
