import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import (
    Predictions,
    groups_across_folds,
    read_predictions,
    write_predictions,
)

CLASSES = ("10", "2", "nv")  # neither sorted as numbers nor by first appearance
LOGITS = np.array([[1, 2, 3], [3, 2, 1], [0, 5, 0], [0, 1, 9]], dtype=np.float32)


def frame(**columns):
    base = {
        "image_id": ["a", "b", "c", "d"],
        "group": ["g1", "g1", "g2", "g3"],
        "label": ["nv", "10", "2", "nv"],
        "age": [40.0, np.nan, 5.0, 80.0],
        "sex": ["male", None, "female", None],
    }
    return pd.DataFrame({**base, **columns})


def test_round_trip_keeps_logits_bit_for_bit_order_attributes_and_gaps(tmp_path):
    path = write_predictions(tmp_path / "new" / "p.parquet", frame(), LOGITS, CLASSES)
    table = read_predictions(path)
    assert table.class_names == CLASSES
    assert table.logits.dtype == np.float32
    np.testing.assert_array_equal(table.logits, LOGITS)
    np.testing.assert_array_equal(table.labels, [2, 0, 1, 2])
    np.testing.assert_array_equal(table.groups, [0, 0, 1, 2])
    assert table.n_groups == 3
    assert table.frame["age"].isna().tolist() == [False, True, False, False]
    assert table.frame["sex"].isna().tolist() == [False, True, False, True]
    assert [p.name for p in path.parent.iterdir()] == ["p.parquet"]


def test_columns_stand_in_the_order_of_the_class_names(tmp_path):
    path = write_predictions(tmp_path / "p.parquet", frame(), LOGITS, CLASSES)
    names = [c for c in pq.read_schema(path).names if c.startswith("logit_")]
    assert names == ["logit_10", "logit_2", "logit_nv"]


def test_table_carries_no_local_path(tmp_path):
    local = frame(path=["/home/me/a.jpg"] * 4, origin=["me.csv row 2"] * 4)
    path = write_predictions(tmp_path / "p.parquet", local, LOGITS, CLASSES)
    assert not {"path", "origin"} & set(pq.read_schema(path).names)


def test_reader_may_ask_for_another_order_of_the_same_classes(tmp_path):
    path = write_predictions(tmp_path / "p.parquet", frame(), LOGITS, CLASSES)
    table = read_predictions(path, class_names=("nv", "10", "2"))
    np.testing.assert_array_equal(table.logits, LOGITS[:, [2, 0, 1]])
    np.testing.assert_array_equal(table.labels, [0, 1, 2, 0])
    with pytest.raises(DermaSenseError, match="expected ones are nv, mel"):
        read_predictions(path, class_names=("nv", "mel"))


def test_table_of_another_tool_without_metadata_is_taken_in_column_order(tmp_path):
    columns = {f"logit_{c}": LOGITS[:, i] for i, c in enumerate(CLASSES)}
    frame().assign(**columns).to_parquet(tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet").class_names == CLASSES


def test_overwriting_replaces_the_whole_file(tmp_path):
    path = write_predictions(tmp_path / "p.parquet", frame(), LOGITS, CLASSES)
    write_predictions(path, frame(), LOGITS * 2, CLASSES)
    np.testing.assert_array_equal(read_predictions(path).logits, LOGITS * 2)


def test_rows_and_with_logits():
    table = Predictions(frame(), LOGITS, CLASSES)
    assert table.rows(np.array([True, False, False, True])).frame["image_id"].tolist() == ["a", "d"]
    assert table.rows(np.array([3, 0])).frame["image_id"].tolist() == ["d", "a"]
    assert table.with_logits(LOGITS / 2).logits[0, 2] == 1.5


@pytest.mark.parametrize(
    ("columns", "logits", "message"),
    [
        ({}, np.where(LOGITS == 9, np.nan, LOGITS), r"Image d \(row 4\).*not a finite number"),
        ({}, np.where(LOGITS == 9, np.inf, LOGITS), "not a finite number"),
        ({}, LOGITS[:, :2], r"need \(4, 3\)"),
        ({"image_id": ["a", "b", "b", "d"]}, LOGITS, "image_id b stands in more than one row"),
        ({"label": ["nv", "10", "nw", "nv"]}, LOGITS, "Row 3 has the label nw.*did you mean 'nv'"),
        ({"label": ["nv", None, "2", "nv"]}, LOGITS, "Row 2 has no label"),
        ({"group": ["g", "g", None, "g"]}, LOGITS, "Row 3 has no group"),
    ],
)
def test_wrong_rows_are_named_in_one_sentence(columns, logits, message):
    with pytest.raises(DermaSenseError, match=message):
        Predictions(frame(**columns), logits, CLASSES)


def test_missing_column_and_empty_table_are_named():
    with pytest.raises(DermaSenseError, match="no column group"):
        Predictions(frame().drop(columns="group"), LOGITS, CLASSES)
    with pytest.raises(DermaSenseError, match="no rows"):
        Predictions(frame().iloc[:0], LOGITS[:0], CLASSES)
    with pytest.raises(DermaSenseError, match="stands twice"):
        Predictions(frame(), LOGITS, ("nv", "2", "nv"))


def test_nothing_wrong_is_written(tmp_path):
    with pytest.raises(DermaSenseError):
        write_predictions(tmp_path / "p.parquet", frame(), LOGITS * np.nan, CLASSES)
    assert list(tmp_path.iterdir()) == []


def edited(tmp_path, edit):
    path = write_predictions(tmp_path / "p.parquet", frame(), LOGITS, CLASSES)
    pq.write_table(edit(pq.read_table(path)), path)
    return path


def test_missing_class_column_is_named_with_the_file(tmp_path):
    path = edited(tmp_path, lambda t: t.drop_columns(["logit_2"]))
    with pytest.raises(DermaSenseError, match=r"p\.parquet: the column logit_2 is missing"):
        read_predictions(path)
    path = edited(tmp_path, lambda t: t.select(["image_id", "group", "label"]))
    with pytest.raises(DermaSenseError, match="no logit_<class> column"):
        read_predictions(path)


def test_columns_that_contradict_the_stored_order_are_refused(tmp_path):
    swapped = ["image_id", "group", "label", "logit_2", "logit_10", "logit_nv"]
    path = edited(tmp_path, lambda t: t.select(swapped))
    with pytest.raises(DermaSenseError, match="stand as 2, 10, nv but its metadata says 10, 2, nv"):
        read_predictions(path)


def test_newer_layout_missing_file_and_damaged_file_are_one_sentence(tmp_path):
    def newer(table: pa.Table) -> pa.Table:
        about = json.dumps({"schema_version": 99, "class_names": CLASSES})
        return table.replace_schema_metadata({"dermasense.predictions": about})

    with pytest.raises(DermaSenseError, match="layout is version 99"):
        read_predictions(edited(tmp_path, newer))
    with pytest.raises(DermaSenseError, match="no such predictions table"):
        read_predictions(tmp_path / "none.parquet")
    path = edited(tmp_path, lambda t: t)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DermaSenseError, match="not a readable Parquet table"):
        read_predictions(path)


def test_a_logit_that_no_network_gives_is_refused():
    logits = LOGITS.astype(float)
    logits[2, 1] = 2e300
    with pytest.raises(DermaSenseError, match=r"Image c \(row 3\) has the logit 2e\+300 \(1 such"):
        Predictions(frame(), logits, CLASSES)
    Predictions(frame(), LOGITS * np.float32(1e30), CLASSES)


def test_labels_that_are_whole_numbers_are_names_of_classes(tmp_path):
    table = pd.DataFrame({"image_id": ["a", "b"], "group": ["g", "h"], "label": [1, 0]})
    table.assign(logit_0=[0.0, 1.0], logit_1=[2.0, 0.0]).to_parquet(tmp_path / "t.parquet")
    assert list(read_predictions(tmp_path / "t.parquet").labels) == [1, 0]
    table.assign(logit_a=[0.0, 1.0], logit_b=[2.0, 0.0]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DermaSenseError, match="has the label 1, which is no class"):
        read_predictions(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("label", "names"),
    [([1.0, 0.0], ("0", "1")), ([True, False], ("False", "True")), ([1, 0], ("0", "1"))],
)
def test_labels_of_other_types_are_names_of_classes(tmp_path, label, names):
    table = pd.DataFrame({"image_id": ["a", "b"], "group": ["g", "h"], "label": label})
    columns = {f"logit_{name}": [0.0, 2.0] for name in names}
    table.assign(**columns).to_parquet(tmp_path / "t.parquet")
    assert list(read_predictions(tmp_path / "t.parquet").labels) == [1, 0]
    table.assign(
        label=table["label"].astype(object).where([True, False], None), **columns
    ).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DermaSenseError, match="Row 2 has no label"):
        read_predictions(tmp_path / "t.parquet")


def test_probabilities_of_another_tool_called_logits_are_refused(tmp_path):
    rows = {"image_id": ["a", "b"], "group": ["g", "h"], "label": ["m", "n"]}
    frame = pd.DataFrame(rows)
    probabilities = np.array([[0.25, 0.75], [1.0, 0.0]])
    columns = {"logit_m": probabilities[:, 0], "logit_n": probabilities[:, 1]}
    frame.assign(**columns).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DermaSenseError, match=r"t.parquet: .* name them prob_<class>"):
        read_predictions(tmp_path / "t.parquet")
    write_predictions(tmp_path / "t.parquet", frame, probabilities, ("m", "n"))  # ours are logits
    assert len(read_predictions(tmp_path / "t.parquet")) == 2


def test_groups_across_folds():
    assert groups_across_folds(frame()) == []
    assert groups_across_folds(frame(fold=[0, 0, 1, 1])) == []
    assert groups_across_folds(frame(fold=[0, 1, 1, 1])) == ["g1"]


def test_text_where_logits_belong_and_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    rows = {
        "image_id": ["i"],
        "label": ["a"],
        "group": ["g"],
        "logit_a": ["much"],
        "logit_b": [0.1],
    }
    pd.DataFrame(rows).to_parquet(path)
    with pytest.raises(DermaSenseError, match=r"t.parquet: the column logit_a holds .*string"):
        read_predictions(path)
    whole = pa.table({**rows, "logit_a": [0.3]}).replace_schema_metadata({b"pandas": b"\xff{"})
    pq.write_table(whole, path)
    with pytest.raises(DermaSenseError, match=r"t.parquet: not a readable Parquet table"):
        read_predictions(path)
