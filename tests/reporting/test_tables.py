import numpy as np
import pandas as pd
import pytest

from dermasense.evaluation.baselines import baselines
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.protocol import BY_IMAGE, GROUPED, LEAKY
from dermasense.reporting.markup import difference_cell
from dermasense.reporting.tables import (
    aligned,
    class_table,
    final_table,
    number,
    sweep_table,
    with_ends,
)


def summary(protocol=GROUPED):
    frame = pd.DataFrame(
        {"image_id": range(6), "group": [0, 0, 1, 2, 3, 4], "label": ["nv"] * 4 + ["mel", "df"]}
    )
    logits = np.eye(3)[[2, 2, 2, 1, 1, 0]] * 2.0
    return summarise(Predictions(frame, logits, ("df", "mel", "nv")), split_protocol=protocol)


def shown(protocol=GROUPED, notes=(), **options):
    blind = baselines([2, 2, 2, 2, 1, 0], ("df", "mel", "nv"))
    splits = {"validation": summary(protocol), "test": summary(protocol)}
    return final_table(splits, blind, notes=notes, **options)


def line(text, start):
    return next(each.split() for each in text.splitlines() if each.startswith(start))


def test_every_row_shows_n_groups_and_three_decimals():
    text = shown()
    assert line(text, "test")[:4] == ["test", "6", "5", "0.833"]
    assert line(text, "validation")[:4] == ["validation", "6", "5", "0.833"]
    assert "protocol: grouped; no group stands in two splits" in text
    assert "leaky" not in text


def test_trivial_rows_stand_beside_the_model():
    text = shown()
    assert line(text, "always nv, then df")[4:7] == ["6", "-", "0.667"]
    assert line(text, "stratified chance")[-1] == "-"


def test_only_a_grouped_protocol_says_what_crosses_no_split():
    text = shown(groups="near-duplicate")
    assert "protocol: grouped; no near-duplicate stands in two splits" in text
    by_image = shown(BY_IMAGE, groups="")
    assert "protocol: by image (no lesion groups known)\n" in by_image
    assert "stands in two splits" not in by_image and "leaky" not in by_image


def test_leaky_protocol_is_said_in_every_row_and_above():
    text = shown(LEAKY)
    assert "test (leaky)" in text
    assert "validation (leaky)" in text
    assert "class (leaky)" in class_table(summary(LEAKY))
    assert "these numbers are too high" in text


def test_note_is_shown():
    assert shown(notes=["synthetic images"]).endswith("note: synthetic images")


def test_class_table_is_ordered_by_n_and_shows_what_is_not_defined():
    rows = class_table(summary()).splitlines()
    assert rows[0].split() == ["class", "n", "precision", "recall", "F1"]
    assert rows[2].split() == ["nv", "4", "1.000", "0.750", "0.857"]
    row = {"precision": None, "recall": 0.0, "f1": 0.0, "n": 3}
    metrics = {"protocol": GROUPED, "per_class": {"bcc": row}}
    assert class_table(metrics).splitlines()[-1].split()[2] == "-"


def test_sweep_keeps_the_order_shows_options_and_says_why_a_trial_failed():
    trials = [
        {
            "trial": "1",
            "status": "finished",
            "reason": "",
            "monitor": "macro_f1",
            "overrides": {"loss.gamma": "2", "phases": "frozen"},
            "val_n": 150,
            "val_top1": 0.5,
            "protocol": LEAKY,
            "best_score": 0.61234,
        },
        {"trial": "0", "status": "failed", "reason": "loss is NaN", "overrides": {"loss.gamma": 9}},
        {"trial": "2", "status": "cut", "reason": "", "overrides": {}},
    ]
    text = sweep_table(trials, metrics=["val_top1", "val_n"], notes=["synthetic"]).splitlines()
    head = ["trial", "monitor", "best_score", "top1", "n", "protocol", "options"]
    assert text[0].split() == head
    assert text[2].split()[:6] == ["1", "macro_f1", "0.612", "0.500", "150", "leaky"]
    assert text[2].endswith("loss.gamma=2 phases=frozen")
    assert text[3].split()[:6] == ["0", "-", "-", "-", "-", "-"]
    assert text[3].endswith("loss.gamma=9 [failed: loss is NaN]")
    assert text[4].endswith("[cut]")
    assert text[6] == "note: synthetic"
    assert text[7].startswith("note: leaky; images of one lesion stand in training and in test")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.12345, "0.123"),
        (7, "7"),
        (0.0, "0.000"),
        (-4e-4, "0.000"),
    ],
)
def test_numbers(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.012, "+0.012"), (-0.012, "-0.012"), (-4e-4, "0.000"), (4e-4, "0.000")],
)
def test_a_difference_has_its_sign_unless_it_rounds_to_nothing(value, shown):
    assert number(value, sign=True) == shown


def test_a_star_marks_a_difference_of_which_the_interval_leaves_out_0():
    assert difference_cell({"value": 0.2, "low": 0.1, "high": 0.3}) == (
        "+0.200 *<br><small>+0.100 to +0.300</small>"
    )
    assert difference_cell({"value": -1e-5, "low": -0.1, "high": 0.1}).startswith("0.000<br>")
    assert difference_cell({"value": 0.2, "low": None, "high": None}) == "+0.200"
    assert difference_cell(None) == difference_cell({"value": None}) == "-"


def test_columns_are_aligned():
    assert aligned(["a", "bb"], [["long", "1"]]) == "a     bb\n----  --\nlong   1"


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.8123, 0.79, 0.834, "0.812 (0.790 to 0.834)"),
        (0.0, 0.0, 0.1, "0.000 (0.000 to 0.100)"),
        (1.0, None, None, "1.000 (no interval)"),
        (None, None, None, "-"),
    ],
)
def test_a_value_stands_with_its_interval(value, low, high, words):
    assert with_ends({"value": value, "low": low, "high": high}) == words


def test_a_difference_has_its_sign_and_no_metric_is_not_defined():
    assert with_ends({"value": 0.02, "low": -0.01, "high": 0.05}, sign=True) == (
        "+0.020 (-0.010 to 0.050)"
    )
    assert with_ends(None) == "-"
