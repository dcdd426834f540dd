"""Columns of another tool's table: which are classes, and what is asked about."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.class_columns import read_classes

RESERVED = {"image_id", "label"}


def read(labels=("nv", "mel"), **columns):
    table = pd.DataFrame({name: list(map(str, cells)) for name, cells in columns.items()})
    ids = pd.Series([f"i{k}" for k in range(len(table))])
    return read_classes(table, pd.Series(labels), ids, RESERVED)


def test_probabilities_by_any_name_are_the_same_logits():
    plain = read(NV=[0.7, 0.4], mel=[0.3, 0.6], sex=["f", "m"])
    named = read(prob_NV=[0.7, 0.4], prob_mel=[0.3, 0.6], age=[40, 50], flag=[0, 1])
    for each in (plain, named):
        assert each.names == ("nv", "mel")
        assert each.logits == pytest.approx(np.log([[0.7, 0.3], [0.4, 0.6]]))
    assert named.columns == ["prob_NV", "prob_mel"]


@pytest.mark.parametrize("flags", [[0, 1], [0, 0], [1.0, 0.0]])
def test_a_column_of_0_and_1_that_no_label_names_is_asked_about(flags):
    with pytest.raises(
        DermaSenseError, match=r"the column target holds only 0 and 1 .* prob_<clas"
    ):
        read(nv=[0.7, 0.4], mel=[0.3, 0.6], target=flags)
    hard = read(nv=[1, 0], mel=[0, 1])  # answers of a tool without probabilities
    assert hard.logits.argmax(axis=1).tolist() == [0, 1]
    assert read(prob_nv=[1, 0.5], prob_mel=[0, 0.5], prob_df=[0, 0]).names == ("nv", "mel", "df")


def test_rows_that_do_not_add_up_name_their_columns():
    with pytest.raises(
        DermaSenseError, match=r"add up to 1.4 .* in the columns nv, mel, doubt; le"
    ):
        read(nv=[0.7, 0.4], mel=[0.3, 0.6], doubt=[0.4, 0.1])
    with pytest.raises(DermaSenseError, match=r"value 4, .* in the column skin_type; .*prob_<cl"):
        read(nv=[0.7, 0.4], mel=[0.3, 0.6], skin_type=[4, 2])


def test_probabilities_called_logits_are_refused():
    with pytest.raises(DermaSenseError, match=r"hold probabilities .*; name them prob_<class>"):
        read(logit_nv=[0.7, 0.4], logit_mel=[0.3, 0.6])
    found = read(logit_nv=[0.7, 1.4], logit_mel=[0.3, 0.6])
    assert found.logits.tolist() == [[0.7, 0.3], [1.4, 0.6]]


def test_small_probabilities_keep_their_order_and_0_stays_behind_them():
    logits = np.array([[0.0, -40.0], [-30.0, 0.0], [-60.0, 0.0]])
    true = log_softmax(logits, axis=1)
    p = np.exp(true)
    p[2, 0] = 0
    found = read(("nv", "mel", "mel"), nv=p[:, 0], mel=p[:, 1]).logits
    known = p > 0
    assert found[known] == pytest.approx(true[known], abs=1e-12)
    assert found[2, 0] == pytest.approx(true[known].min() - np.log(2))
    rounded = read(("nv", "mel"), nv=[1.0, 0.4], mel=[0.0, 0.6]).logits
    assert rounded[0, 1] == pytest.approx(np.log(1e-7))


@pytest.mark.parametrize(
    ("columns", "labels", "sentence"),
    [
        ({"mel": [0.2, 0.8]}, ("nv", "mel"), "none for nv; add a column nv = 1 - mel."),
        ({"prob_mel": [0.2, 0.8]}, ("nv", "mel"), "add a column prob_nv = 1 - prob_mel."),
        ({"logit_mel": [-2, 3]}, ("nv", "mel"), "add a column logit_nv = 0."),
        ({"prob": [0.2, 0.8]}, ("0", "1"), "prob, is named after none of its labels 0 and 1; name"),
        ({"score": [0.2, 0.8]}, ("0", "1"), "and add prob_<the other> = 1 - score."),
    ],
)
def test_one_column_of_a_model_of_two_classes_is_told_what_to_add(columns, labels, sentence):
    with pytest.raises(DermaSenseError) as error:
        read(labels, **columns)
    assert sentence in str(error.value)


def test_classes_named_by_numbers_with_gaps_are_whole_numbers():
    each = read(("1", "0"), **{"prob_0.0": [0.2, 0.9], "prob_1.0": [0.8, 0.1]})
    assert each.names == ("0", "1")
