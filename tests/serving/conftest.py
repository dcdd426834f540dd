"""A model of noise, and a server of it."""

import pytest
import torch
from starlette.testclient import TestClient

from dermasense import load
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import build_classifier
from dermasense.serving import app as serving


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    torch.manual_seed(0)
    classifier, spec, _ = build_classifier(
        backbone="tf_efficientnet_lite0", num_classes=3, head={"name": "linear"}, image_size=32
    )
    folder = tmp_path_factory.mktemp("served")
    return save_bundle(
        folder,
        classifier.eval(),
        spec,
        ("mel", "nv", "bcc"),
        {"training_data": "noise", "note": "pixels of noise"},
    )


@pytest.fixture(scope="module")
def model(bundle):
    return load(bundle, engine="torch", batch_size=4)


@pytest.fixture
def client(model):
    with TestClient(serving.create_app(model)) as client:
        yield client
