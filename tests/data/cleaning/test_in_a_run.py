"""model.clean goes from the command line into the store, the bundle and every later answer."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dermasense.data.cleaning import cleaned
from dermasense.data.preprocess import InputSpec
from dermasense.evaluation.predictions import read_predictions
from dermasense.inference.predictor import Predictor
from dermasense.inference.preprocessing_steps import preprocessing
from dermasense.models.bundle import load_bundle
from tests.fakes import TINY

WORDS = [*TINY, "phases=frozen", "limit_epochs=1", "logger=none"]


def test_a_cleaned_run_answers_from_cleaned_pictures(command, tmp_path):
    run = tmp_path / "run"
    code, _, error = command(*WORDS, "model.clean=[hair,shades_of_grey]", f"hydra.run.dir={run}")
    assert code == 0, error
    described = json.loads((run / "bundle" / "model.json").read_text())
    assert described["input"]["clean"] == ["hair", "shades_of_grey"]
    bundle = load_bundle(run / "bundle")
    assert bundle.spec.clean == ("hair", "shades_of_grey")
    # The picture itself, through the door of predict and serve, is what training tested on.
    test = read_predictions(run / "predictions_test.parquet")
    names = test.frame["image_id"].tolist()[:4]
    files = {path.stem: path for path in (tmp_path / "cache").rglob("*.jpg")}
    files |= {path.stem: path for path in (tmp_path / "cache").rglob("*.png")}
    predictor = Predictor.of(run, engine="torch")
    pixels = [predictor.pixels(files[name]) for name in names]
    assert predictor.logits(np.stack(pixels)) == pytest.approx(test.logits[:4], abs=1e-4)
    picture = np.asarray(Image.open(files[names[0]]).convert("RGB"))
    by_hand = Image.fromarray(cleaned(picture, bundle.spec.clean))
    side = bundle.spec.image_size
    expected = np.asarray(by_hand.resize((side, side), Image.Resampling.LANCZOS))
    assert np.array_equal(pixels[0], expected)


def test_an_unknown_name_is_one_sentence_before_any_training(command, tmp_path):
    code, _, error = command(*WORDS, "model.clean=[hairs]", f"hydra.run.dir={tmp_path / 'run'}")
    assert code != 0 and "clean=hairs is unknown; did you mean 'hair'" in error
    assert "Traceback" not in error


def test_an_exported_model_names_its_cleaning():
    spec = InputSpec(32, "squash", (0.5,) * 3, (0.5,) * 3, clean=("hair", "frame_crop"))
    steps = {step["step"]: step for step in preprocessing(spec)["steps"]}
    assert list(steps).index("clean") < list(steps).index("source")
    assert steps["clean"]["methods"] == ["hair", "frame_crop"]
    plain = preprocessing(replace(spec, clean=()))
    assert "clean" not in [step["step"] for step in plain["steps"]]
