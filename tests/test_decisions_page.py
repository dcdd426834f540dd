"""docs/calibration.md shows what the committed tables hold, and the tables come from the pairs."""

from pathlib import Path

import decisions_page
import pandas as pd
import pytest

from dermasense.evaluation.calibration import build_calibrator
from dermasense.evaluation.decisions.lac import Lac
from dermasense.evaluation.pair import read_pair

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_page_holds_the_numbers_of_the_tables():
    text = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert decisions_page.filled(text) == text, "run python benchmarks/decisions_page.py"
    assert text.count("| `") > 20


@pytest.mark.parametrize("name", ["b1_se_lite", "b4_weighted_lite"])
def test_a_stranger_gets_the_same_numbers_from_the_committed_tables(name):
    pairs = RESULTS / "pairs"
    pair = read_pair(
        val=str(pairs / f"{name}_validation.parquet"), test=str(pairs / f"{name}_test.parquet")
    )
    fitted = build_calibrator("temperature").fit(pair.validation)
    table = pd.read_csv(RESULTS / "calibration.csv")
    own = table[(table["experiment"] == name) & (table["method"] == "temperature")]
    assert own["fitted"].iloc[0] == pytest.approx(fitted.value, abs=1e-4)
    found = Lac(0.1).fit(fitted.apply(pair.validation)).judge(fitted.apply(pair.test))
    table = pd.read_csv(RESULTS / "decisions.csv")
    lac = table[(table["experiment"] == name) & (table["decision"] == "lac")]
    row = lac[(lac["options"] == "alpha=0.1") & (lac["of"] == "all")].iloc[0]
    assert row["metric"] == "coverage"
    for end in ("value", "low", "high", "n"):
        assert row[end] == pytest.approx(found["coverage"][end], abs=1e-4)
