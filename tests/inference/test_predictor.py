"""A bundle that answers: the same pixels give the same logits through every door."""

import numpy as np
import pytest
import torch
from PIL import Image

from dermasense.data.preprocess import UnreadableImage, read_rgb, resize_rgb
from dermasense.errors import DermaSenseError
from dermasense.inference.predictor import Predictor, _Both
from dermasense.inference.views import SETS
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import build_classifier

NAMES = ("mel", "nv", "bcc")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    torch.manual_seed(0)
    classifier, spec, _ = build_classifier(
        backbone="tf_efficientnet_lite0",
        num_classes=3,
        head={"name": "se_mlp"},
        image_size=64,
    )
    return save_bundle(tmp_path_factory.mktemp("run") / "bundle", classifier.eval(), spec, NAMES)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_logits_are_those_of_the_classifier(bundle, pictures, engine):
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
    predictor = Predictor.of(bundle, engine=engine, batch_size=2)
    with torch.inference_mode():
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        expected = predictor.bundle.classifier(images).numpy()
    np.testing.assert_allclose(predictor.logits(pictures), expected, atol=1e-4)
    np.testing.assert_allclose(predictor.logits(list(pictures)), expected, atol=1e-4)


def test_the_head_makes_the_logits_of_the_embeddings(bundle, pictures):
    predictor = Predictor.of(bundle.parent)  # the run's folder will do
    with torch.inference_mode():
        pooled = torch.from_numpy(predictor.embeddings(pictures))
        logits = predictor.bundle.classifier.head(pooled).numpy()
    np.testing.assert_allclose(predictor.logits(pictures), logits, atol=1e-4)


def test_views_of_a_mirrored_picture_are_those_of_the_picture(bundle, pictures):
    predictor = Predictor.of(bundle, views="flips")
    mirrored = np.ascontiguousarray(pictures[:, :, ::-1])
    np.testing.assert_allclose(predictor.logits(pictures), predictor.logits(mirrored), atol=1e-4)


def test_a_file_and_its_bytes_are_the_pixels_of_the_one_door(bundle, tmp_path):
    path = tmp_path / "a b.png"
    Image.effect_noise((90, 70), 80).convert("RGB").save(path)
    predictor = Predictor.of(bundle)
    expected = resize_rgb(read_rgb(path), predictor.spec)
    np.testing.assert_array_equal(predictor.pixels(path), expected)
    np.testing.assert_array_equal(predictor.pixels(path.read_bytes()), expected)
    with pytest.raises(UnreadableImage):
        predictor.pixels(b"no picture")


def test_no_pictures_give_no_rows(bundle):
    predictor = Predictor.of(bundle)
    assert predictor.logits([]).shape == (0, 3)


def test_the_average_of_the_views_is_chosen(bundle, pictures):
    answers = {
        average: Predictor.of(bundle, views="crops", average=average).logits(pictures)
        for average in ("log", "probability")
    }
    for logits in answers.values():
        np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, atol=1e-5)
    assert np.abs(answers["log"] - answers["probability"]).max() > 1e-6


def test_logits_and_embeddings_take_one_pass_a_picture(bundle, pictures):
    predictor = Predictor.of(bundle, engine="torch", batch_size=2)
    seen = []
    run = predictor._run("both", _Both, pictures)
    predictor._runs["both"] = lambda batch: seen.append(len(batch)) or run(batch)
    logits, embeddings = predictor.logits_and_embeddings(pictures[:3])
    assert seen == [2, 1] and len(logits) == len(embeddings) == 3
    none = predictor.logits_and_embeddings(pictures[:0])
    assert len(none[0]) == len(none[1]) == 0 and seen == [2, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "gpu"}, "device=gpu is unknown; say cpu, cuda"),
        ({"device": "cuda:99"}, "device=cuda:99: this machine has none"),
        ({"engine": "onyx"}, "engine=onyx is unknown; did you mean 'onnx'"),
    ],
)
def test_a_device_or_engine_that_is_none_is_named_before_any_picture_is_read(bundle, options, said):
    with pytest.raises(DermaSenseError, match=said):
        Predictor.of(bundle, **options)


@pytest.mark.parametrize("average", ["log", "probability"])
@pytest.mark.parametrize("views", [*SETS, "mirrored", "mirrored+as_is"])
def test_both_together_are_each_alone_whatever_the_views(bundle, pictures, views, average):
    predictor = Predictor.of(bundle, engine="torch", views=views, average=average, batch_size=2)
    logits, embeddings = predictor.logits_and_embeddings(pictures)
    np.testing.assert_allclose(logits, predictor.logits(pictures), atol=1e-6)
    np.testing.assert_allclose(embeddings, predictor.embeddings(pictures), rtol=1e-4, atol=1e-7)
