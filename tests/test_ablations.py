"""The ablations: rows of known tables, what stands is not run again, pages held to their tables."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermasense.evaluation.bootstrap import intervals
from dermasense.evaluation.compare import differences
from dermasense.evaluation.predictions import read_predictions, write_predictions
from dermasense.files import write_csv, write_json
from dermasense.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def scripts():
    import ablation_pages
    import trials

    return trials, ablation_pages


def table(path: Path, seed: int, skill: float) -> None:
    labels = np.random.default_rng(0).choice(3, 120, p=[0.6, 0.3, 0.1])
    logits = np.random.default_rng(seed).normal(size=(120, 3))
    logits[np.arange(120), labels] += skill
    frame = pd.DataFrame({"image_id": [f"i{n}" for n in range(120)]})
    frame["group"] = [f"g{n // 2}" for n in range(120)]
    frame["label"] = np.array(CLASSES)[labels]
    write_predictions(path, frame, logits, CLASSES)


@pytest.fixture
def ablation(scripts, tmp_path, monkeypatch):
    """An ablation whose runs are tables of noise, and what was run."""
    trials, _ = scripts
    ran = []

    def run(self, trial, seed):
        ran.append((trial.name, seed))
        folder = RunFolder(self._folder(trial, seed))
        folder.path.mkdir(parents=True, exist_ok=True)
        table(folder.predictions("test"), seed, 1.0 if trial.name == "none" else 2.0)
        write_csv(folder.history, [{"epoch": 1}, {"epoch": 2}], ["epoch"])
        cost = {"cpu_seconds": 2.0 + seed, "wall_seconds": 3.0, "peak_mb": 100.0, "epochs": 0.0}
        write_json(self._cost_file(trial, seed), cost)

    monkeypatch.setattr(trials.Ablation, "run", run)
    made = trials.Ablation(
        tmp_path / "t.csv", tmp_path / "work", "noise", ["head=linear", "cache=boundary"],
        ["data.root=/somewhere"], [0, 1], "python it.py", resamples=200,
    )  # fmt: skip
    none = trials.Trial({"balance": "none"})
    other = trials.Trial({"balance": "other"}, ("balance=other", "cache=none"), ("none",))
    return made, [none, other], ran


def rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_a_row_a_seed_then_the_mean(ablation):
    made, trials, _ = ablation
    made.walk(trials)
    found = rows(made.table)
    assert [(row["balance"], row["seed"], row["base"]) for row in found] == [
        ("none", "0", ""), ("none", "1", ""), ("none", "all", ""),
        ("other", "0", ""), ("other", "1", ""), ("other", "all", "none"),
    ]  # fmt: skip
    for metric in ("balanced_accuracy", "top1", "ece"):
        values = [float(row[metric]) for row in found[3:]]
        assert values[2] == pytest.approx(np.mean(values[:2]), abs=1e-4)
    assert float(found[5]["cpu_seconds"]) == 2.5 and found[0]["epochs"] == "2.0"
    assert (found[0]["n"], found[0]["n_groups"]) == ("120", "60")
    assert float(found[5]["top1_gain_low"]) > 0  # a skill of 2 beats one of 1
    assert "/somewhere" not in made.table.read_text()
    assert "cache=none" in found[3]["command"] and "cache=boundary" not in found[3]["command"]


def test_of_one_seed_they_are_the_intervals_of_the_evaluation(ablation, scripts):
    made, trials, _ = ablation
    made.walk(trials)
    one, other = (
        read_predictions(RunFolder(made._folder(each, 0)).predictions("test")) for each in trials
    )
    scored = [scripts[0].Scored([each], 200) for each in (one, other)]
    expected = intervals(other, resamples=200, ranking=False)
    change = differences(one, other, resamples=200, ranking=False)
    for metric in scripts[0].METRICS:
        assert scored[1].mean(metric) == expected[metric]
        gain = scored[1].minus(scored[0], metric)
        assert gain.value == pytest.approx(change[metric].value)
        assert (gain.low, gain.high) == pytest.approx((change[metric].low, change[metric].high))


def test_what_stands_is_not_run_again(ablation):
    made, trials, ran = ablation
    made.walk(trials[:1])
    made.walk(trials)
    assert ran == [("none", 0), ("none", 1), ("other", 0), ("other", 1)]
    before = made.table.read_text()
    made.walk(trials)
    assert len(ran) == 4 and made.table.read_text() == before


@pytest.mark.parametrize("name", ["balance", "cleaning", "many_runs"])
def test_a_page_is_what_its_table_gives(scripts, name):
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert scripts[1].page_with_parts(name, page) == page
    assert all(f"<!-- {part}: written by" in page for part in scripts[1].PARTS[name])


def test_the_drawing_is_what_the_table_gives(scripts):
    assert scripts[1].DRAWING.read_text(encoding="utf-8") == scripts[1].drawing()
