"""Folds as one table: each image once, no group twice, repeats that are no new images."""

import numpy as np
import pandas as pd
import pytest

from dermasense.errors import DermaSenseError
from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.out_of_fold import (
    out_of_fold,
    over_repeats,
    spread,
    tempered,
    write_repeats,
)
from dermasense.evaluation.predictions import read_predictions, write_predictions
from tests.reporting.run_on_disk import table


def halves(whole):
    lesion = whole.groups % 2
    return [whole.rows(lesion == 0), whole.rows(lesion == 1)]


def test_folds_join_to_the_whole_table():
    whole = table()
    first, second = halves(whole)
    joined = out_of_fold([first, second.in_order(whole.class_names[::-1])])
    assert sorted(joined.frame["image_id"]) == sorted(whole.frame["image_id"])
    assert joined.frame["fold"].tolist() == [0] * len(first) + [1] * len(second)
    scores = [summarise(each, split_protocol="x") for each in (whole, joined)]
    for name in ("top1", "macro_f1", "nll"):
        assert scores[0][name] == pytest.approx(scores[1][name])


def test_an_image_or_a_group_in_two_folds_is_refused():
    whole = table()
    with pytest.raises(DermaSenseError, match="was judged in more than one fold"):
        out_of_fold([whole, whole])
    cut = [whole.rows(np.arange(len(whole)) % 2 == n) for n in range(2)]  # two images a lesion
    with pytest.raises(DermaSenseError, match="group L0 was judged in more than one fold"):
        out_of_fold(cut)


def test_spread_is_numpys():
    rows = [dict.fromkeys(("top1", "top2", "balanced_accuracy", "macro_f1"), v) for v in (0.5, 0.9)]
    rows = [row | {"auroc_macro": None, "nll": 1.0, "ece": 0.1} for row in rows]
    found = spread(rows)
    assert found["top1"] == {
        "mean": pytest.approx(0.7),
        "sd": pytest.approx(np.std([0.5, 0.9], ddof=1)),
        "least": 0.5,
        "most": 0.9,
        "n": 2,
    }
    assert found["auroc_macro"]["mean"] is None and found["auroc_macro"]["n"] == 0


def test_the_same_table_twice_narrows_no_interval():
    whole = table()
    alone = intervals(whole, resamples=200)
    twice = over_repeats([whole, whole], resamples=200)
    for name in ("top1", "macro_f1"):
        for end in ("value", "low", "high"):
            assert twice[name][end] == pytest.approx(getattr(alone[name], end), abs=1e-9)
        assert twice[name]["n"] == len(whole)


def test_each_fold_has_its_own_temperature():
    first, second = halves(table(n_lesions=200, gain=3.0))
    hot = second.with_logits(second.logits * 3)
    after = tempered([first, hot], [first, hot], resamples=100)
    assert after["temperatures"][1] == pytest.approx(3 * after["temperatures"][0], rel=0.25)
    assert after["nll"]["value"] < summarise(out_of_fold([first, hot]), split_protocol="x")["nll"]


def test_repeats_lie_in_one_file_told_apart_by_a_column(tmp_path):
    paths = []
    for seed in range(2):
        each = table(seed=seed)
        path = tmp_path / f"{seed}.parquet"
        paths.append(write_predictions(path, each.frame, each.logits, each.class_names))
    write_repeats(tmp_path / "all.parquet", paths)

    long = pd.read_parquet(tmp_path / "all.parquet")
    for seed, path in enumerate(paths):
        part = long[long["repeat"] == seed].drop(columns="repeat").reset_index(drop=True)
        pd.testing.assert_frame_equal(part, pd.read_parquet(path))
    assert len(read_predictions(paths[0])) * 2 == len(long)


def test_a_fold_has_the_temperature_of_its_validation_part():
    first, second = halves(table(n_lesions=200, gain=3.0))
    parts = [second, first.with_logits(first.logits * 3)]
    after = tempered([first, second], parts, resamples=100)
    known = [Temperature().fit(each).value for each in parts]
    assert after["temperatures"] == pytest.approx(known)
    assert after["temperature"] == pytest.approx(np.mean(known))
