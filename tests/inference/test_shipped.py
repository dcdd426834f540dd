"""The model in the package: small, calibrated, decided, licensed, and as good as its card says."""

import re
from pathlib import Path

import numpy as np
import pytest

from dermasense import load
from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import read_predictions
from dermasense.files import read_json
from dermasense.models.hub_bundle import locate
from dermasense.reporting.decided import decided

TABLES = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "predictions"


@pytest.fixture(scope="module")
def model():
    return load("shipped")


def test_it_is_small_calibrated_and_says_what_its_weights_may_be_used_for(model):
    folder = locate("shipped")
    assert (folder / "model.safetensors").stat().st_size < 8e6
    assert model.info["temperature"] != 1 and model.info["licence"] == "CC BY-NC 4.0"
    assert set(model.info["decision"]) == {"set", "alarm", "refer"}
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "license: cc-by-nc-4.0" in card and "not a medical device" in card
    assert model.info["sha256"] in card


def test_it_answers_with_a_set_and_knows_noise_for_what_it_is(model):
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    said = model.predict(noise)
    assert sum(said.probabilities.values()) == pytest.approx(1)
    assert said.prediction_set and said.distance > 1 and said.warnings


def test_its_card_gives_the_numbers_of_the_committed_answers_of_its_fold():
    table = read_predictions(TABLES / "ham10000_oof_ham_short.parquet")
    fold = table.rows(table.frame["fold"].to_numpy() == 0)
    card = (locate("shipped") / "MODEL_CARD.md").read_text(encoding="utf-8")
    scores = summarise(fold, split_protocol="grouped")
    for name, metric in (
        ("Top-1 accuracy", "top1"),
        ("Balanced accuracy", "balanced_accuracy"),
        ("Macro-F1", "macro_f1"),
    ):
        written = float(re.search(rf"\| {name} \| ([\d.]+) ", card)[1])
        assert written == pytest.approx(scores[metric], abs=0.0016), name
    assert f"n = {len(fold):,}" in card


def test_its_card_says_what_its_model_json_does_to_the_logits():
    folder = locate("shipped")
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "\n\n".join(decided(read_json(folder / "model.json"))) in card
    for words in ("temperature, value 1.497", "lac: alpha 0.1", "classes mel", "accuracy 0.9"):
        assert words in card
