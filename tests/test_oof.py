"""The out-of-fold tables: what they say is what the committed predictions give."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.compare import differences
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.evaluation.scores import Scores
from dermasense.files import write_csv

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CLASSES = ("a", "b", "c")
TABLES = sorted((RESULTS / "predictions").glob("*_oof_*.parquet"))


def noise(seed: int, skill: float, folds: int = 5) -> Predictions:
    labels = np.random.default_rng(0).choice(3, 300, p=[0.6, 0.3, 0.1])
    logits = np.random.default_rng(seed).normal(size=(300, 3))
    logits[np.arange(300), labels] += skill
    group = np.arange(300) // 2
    frame = pd.DataFrame({"image_id": [f"i{n}" for n in range(300)], "fold": group % 5})
    frame["group"], frame["label"] = [f"g{n}" for n in group], np.array(CLASSES)[labels]
    table = Predictions(frame.assign(age=40.0), logits, CLASSES)
    return table.rows((frame["fold"] < folds).to_numpy())


@pytest.fixture
def results(tmp_path):
    """Results of two systems of noise, the second of two folds only."""
    from systems import System, register

    about = {"networks": "lite0@96x4", "command": "python it.py", "commit": "abc", "machine": "m"}
    plain = System("ham10000", "plain", "noise", **about)
    better = System("ham10000", "better", "less noise", base="plain", **about)
    register(plain, noise(1, 1.0), tmp_path)
    register(better, noise(2, 2.0, folds=2), tmp_path)
    costs = {"network": "lite0", "image_size": 96, "parameters": 7, "gflops": 0.5}
    write_csv(tmp_path / "network_costs.csv", [costs | {"milliseconds": 3.0}],
              [*costs, "milliseconds"])  # fmt: skip
    return tmp_path


def committed() -> list[dict]:
    found = []
    for path in sorted(RESULTS.glob("*_oof.csv")):
        with open(path, newline="", encoding="utf-8") as handle:
            found += [row for row in csv.DictReader(handle) if row["table"]]
    return found


@pytest.mark.parametrize("row", committed(), ids=lambda row: f"{row['dataset']}-{row['system']}")
def test_a_row_says_what_its_committed_predictions_give(row):
    table = read_predictions(RESULTS / row["table"])
    scores = Scores(table, ranking=False)(np.ones((table.n_groups, 1)))
    for name in ("top1", "top2", "balanced_accuracy", "macro_f1", "weighted_f1", "nll", "ece"):
        assert float(row[name]) == pytest.approx(float(scores[name][0]), abs=6e-5), name
    assert (int(row["n"]), int(row["n_groups"])) == (len(table), table.n_groups)
    assert int(row["folds"]) == table.frame["fold"].nunique()


@pytest.mark.skipif(not committed(), reason="no out-of-fold table is committed")
def test_intervals_and_temperatures_are_what_the_committed_predictions_give():
    from oof import tempered

    row = min((row for row in committed() if row["temperature"]), key=lambda row: int(row["n"]))
    table = read_predictions(RESULTS / row["table"])
    found = intervals(table, resamples=int(row["resamples"]), ranking=False)["macro_f1"]
    assert [float(row["macro_f1_low"]), float(row["macro_f1_high"])] == pytest.approx(
        [found.low, found.high], abs=6e-5
    )
    if row["temperature_from"] == "the other folds":
        assert float(row["temperature"]) == pytest.approx(tempered(table)[1], abs=6e-5)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_committed_predictions_hold_logits_in_half_precision_and_no_attributes(path):
    table = pq.read_table(path)
    allowed = {"image_id", "group", "label", "fold"}
    others = [name for name in table.column_names if name not in allowed]
    assert all(name.startswith("logit_") for name in others)
    assert {str(table.schema.field(name).type) for name in others} == {"halffloat"}


def test_a_partial_row_says_so_and_is_compared_on_the_images_it_has(results):
    from oof import rows

    always, chance, plain, better = rows("ham10000", 200, results)
    assert (plain["folds"], better["folds"]) == (5, 2) and plain["base"] == ""
    assert always["system"] == "always_commonest" and always["top1"] == pytest.approx(0.6, abs=0.1)
    assert chance["auroc_macro"] == 0.5 and always["balanced_accuracy"] == pytest.approx(
        1 / 3, 1e-3
    )
    first, second = (
        read_predictions(results / "predictions" / f"ham10000_oof_{name}.parquet")
        for name in ("plain", "better")
    )
    shared = first.rows((first.frame["fold"] < 2).to_numpy())
    expected = differences(shared, second, resamples=200, ranking=False)["macro_f1"]
    assert better["base_n"] == len(shared) < len(first)
    assert better["macro_f1_gain"] == pytest.approx(expected.value, abs=6e-5)
    assert better["macro_f1_gain_low"] == pytest.approx(expected.low, abs=6e-5)


def test_cost_counts_every_network_and_view(results):
    from oof import cost_of
    from systems import systems

    system = replace(systems("ham10000", results)[0], more_parameters=5)
    found = cost_of(system, results / "network_costs.csv")
    assert found == {"parameters": 12, "gflops": 2.0, "milliseconds": 12.0}


@pytest.mark.parametrize("row", committed(), ids=lambda row: f"{row['dataset']}-{row['system']}")
def test_a_committed_cost_is_that_of_its_networks_and_heads(row):
    from oof import cost_of
    from systems import systems

    (system,) = [each for each in systems(row["dataset"]) if each.system == row["system"]]
    assert {key: float(row[key]) for key in cost_of(system)} == cost_of(system)


def test_parameters_are_those_of_the_backbone_and_of_the_head_that_is_there():
    found = {(row["dataset"], row["system"]): int(row["parameters"]) for row in committed()}
    backbone = {"lite0": 3_371_008, "lite2": 4_811_072}  # timm's, without a classifier
    linear = {classes: 1280 * classes + classes for classes in (7, 21)}
    for system in ("lite0_lr", "lite0_lr_flips", "ham_short", "ham_short_flips_metadata"):
        assert found["ham10000", system] == backbone["lite0"] + linear[7], system
    for system in ("lite2_lr", "fitzpatrick_short", "fitzpatrick_short_many"):
        assert found["fitzpatrick21", system] == backbone["lite2"] + linear[21], system
    assert found["fitzpatrick21", "fitzpatrick_many"] == 3 * (backbone["lite2"] + linear[21])
    se = found["ham10000", "b1_se_lite"]
    assert se == found["ham10000", "lite0_se_mlp"] == backbone["lite0"] + 1_391_303


def test_a_row_that_stands_is_judged_again_only_where_a_table_has_changed(
    results, capsys, monkeypatch
):
    import oof
    from systems import System, register

    monkeypatch.setattr(
        sys, "argv", ["oof.py", "ham10000", "--resamples", "100", "--results", str(results)]
    )
    oof.main()
    assert capsys.readouterr().out.count("judging") == 2
    before = (results / "ham10000_oof.csv").read_bytes()
    oof.main()
    assert "judging" not in capsys.readouterr().out
    assert (results / "ham10000_oof.csv").read_bytes() == before
    register(System("ham10000", "better", "less noise", base="plain"), noise(3, 3.0), results)
    oof.main()
    said = capsys.readouterr().out
    assert "judging better" in said and "judging plain" not in said


def test_a_fold_has_no_say_in_its_own_temperature():
    from oof import tempered

    table = noise(1, 1.0)
    here = (table.frame["fold"] == 0).to_numpy()
    moved = table.frame.copy()
    moved.loc[here, "label"] = np.roll(moved.loc[here, "label"].to_numpy(), 1)
    after = [
        tempered(Predictions(frame, table.logits, CLASSES))[0] for frame in (table.frame, moved)
    ]
    assert np.array_equal(after[0].logits[here], after[1].logits[here])
    assert not np.allclose(after[0].logits[~here], after[1].logits[~here])
    assert tempered(table.rows(here)) is None


def test_a_table_of_its_own_gives_a_fold_its_temperature():
    from oof import tempered

    table = noise(1, 1.0, folds=1)
    sure = table.with_logits(10 * table.logits)
    found, value = tempered(sure, {0: sure})
    assert 5 < value < 20 and np.abs(found.logits).max() < np.abs(sure.logits).max()


def test_the_leaderboard_is_what_the_tables_give():
    from leaderboard_page import DRAWING, PARTS, curve
    from marked import with_parts

    page = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    assert with_parts(page, PARTS) == page
    if found := curve():
        assert DRAWING.read_text(encoding="utf-8") == found
