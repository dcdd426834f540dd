"""Tables side by side: ours, another tool's CSV, its Parquet."""

import numpy as np
import pandas as pd
import pytest

from dermasense.errors import DermaSenseError
from dermasense.evaluation.fairness.bands import banded_attributes
from dermasense.evaluation.predictions import write_predictions
from dermasense.evaluation.tables import read_one, read_tables

IDS = ["i1", "i2", "i3", "i4"]
LABELS = ["mel", "nv", "nv", "mel"]
P = np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8], [0.7, 0.3]])  # of mel, nv


def csv(path, order=("mel", "nv"), prefix="", p=P, **columns):
    frame = pd.DataFrame({f"{prefix}{name}": p[:, ["mel", "nv"].index(name)] for name in order})
    frame.assign(image_id=IDS, **columns).to_csv(path, index=False)
    return str(path)


def test_equal_probabilities_are_answered_alike_by_all_tables_and_told(tmp_path):
    one = csv(tmp_path / "a.csv", label=LABELS)
    other = csv(tmp_path / "b.csv", ("nv", "mel"), label=LABELS)
    first, second = read_tables([one, other])
    np.testing.assert_array_equal(first.predictions.logits, second.predictions.logits)
    assert second.predictions.class_names == ("mel", "nv")
    for each in (first, second):
        assert "too narrow; 50.0 % of the images have several most probable classes" in each.note
    settled = csv(tmp_path / "c.csv", p=P + np.array([0.01, -0.01]), label=LABELS)
    assert "most probable" not in read_tables([settled])[0].note


def test_tables_of_other_classes_keep_their_own_order(tmp_path):
    one = csv(tmp_path / "a.csv", ("nv", "mel"), label=LABELS)
    wider = csv(tmp_path / "b.csv", prefix="prob_", prob_df=0.0, label=LABELS)
    names = [each.predictions.class_names for each in read_tables([one, wider])]
    assert names == [("nv", "mel"), ("mel", "nv", "df")]


@pytest.mark.parametrize("prefix", ["", "prob_"])
def test_probabilities_in_parquet_are_read_as_those_of_a_csv(tmp_path, prefix):
    place = csv(tmp_path / "a.csv", prefix=prefix, label=LABELS, sex=["f", "m", "f", None])
    pd.read_csv(place).to_parquet(tmp_path / "b.parquet")
    (one,), (other,) = read_tables([place]), read_tables([str(tmp_path / "b.parquet")])
    frames = [each.predictions.frame.fillna("missing") for each in (one, other)]
    pd.testing.assert_frame_equal(*frames)
    np.testing.assert_array_equal(one.predictions.logits, other.predictions.logits)
    assert len(read_one(tmp_path / "b.parquet")) == 4


def attributes(table):
    return {name: list(words) for name, words in banded_attributes(table.predictions.frame)}


def test_attributes_come_from_the_truth_the_table_beside_and_the_csv_itself(tmp_path, caplog):
    caplog.set_level("INFO")
    labels = pd.DataFrame({"image_id": IDS[::-1], "label": LABELS[::-1]})
    labels = labels.assign(sex=["d", "c", "b", "a"], age=[70, 50, 30, 10])
    labels.to_csv(tmp_path / "truth.csv", index=False)
    columns = {"sex": "x", "device": ["u", "u", "v", "v"], "remark": None}
    place = csv(tmp_path / "a.csv", prefix="prob_", **columns)
    (table,) = read_tables([place], labels=str(tmp_path / "truth.csv"))
    assert attributes(table) == {
        "device": ["u", "u", "v", "v"],
        "sex": ["a", "b", "c", "d"],
        "age": ["10", "30", "50", "70"],
    }
    assert f"{place}: attributes: sex, device, age" in caplog.text
    assert f"{place}: left out: remark" in caplog.text
    ours = pd.DataFrame({"image_id": IDS, "label": LABELS, "group": list("wxyz"), "site": "arm"})
    write_predictions(tmp_path / "ours.parquet", ours, P * 9, ("mel", "nv"))
    beside = read_tables([str(tmp_path / "ours.parquet"), place])[1]
    assert attributes(beside)["site"] == ["arm"] * 4


def test_what_predict_tells_of_its_answer_is_no_attribute(tmp_path):
    columns = {"decision": ["refer", "answer"] * 2, "notice": "research"}
    place = csv(tmp_path / "a.csv", prefix="prob_", label=LABELS, **columns)
    assert attributes(read_tables([place])[0]) == {}


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.parquet").write_text("image_id,label\n")
    with pytest.raises(DermaSenseError, match=r"a\.parquet: not a readable Parquet table"):
        read_one(tmp_path / "a.parquet")
