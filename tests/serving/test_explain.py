"""`/v1/explain`: a picture or JSON, of the class asked for, in a place of its own."""

import base64
import io
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from dermasense import load
from dermasense.errors import DermaSenseError
from dermasense.models.bundle import NoNetwork
from dermasense.serving import app as serving
from dermasense.serving.limits import Limits
from tests.inference.explaining.coloured import backbone, bundle, picture
from tests.serving.sending import files


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("timm.create_model", backbone)
        return load(bundle(tmp_path_factory.mktemp("served")), engine="torch", batch_size=4)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def opened(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_json_holds_the_map_the_class_and_a_sentence(client, model):
    image = picture(red=(70, 50))
    found = client.post("/v1/explain?format=json&target=red", files=files(png(image)))
    assert found.status_code == 200, found.text
    said, expected = found.json(), model.explain(image, target="red")
    assert said["target"] == "red" and said["answer"] == expected.prediction.answer
    assert said["probability"] == pytest.approx(expected.probability, abs=1e-6)
    assert "lower right" in said["says"] and "not a medical device" in said["disclaimer"]
    assert np.abs(opened(said["map"]) / 255 - expected.map).max() < 0.003
    assert opened(said["overlay"]).shape == (72, 96, 3)
    assert said["request_id"] == found.headers["x-request-id"]


def test_what_speaks_against_the_answer_is_said_with_it(client):
    blank = png(np.full((40, 40, 3), 128, np.uint8))
    said, answer = (
        client.post(place, files=files(blank)).json()
        for place in ("/v1/explain?format=json", "/v1/predict")
    )
    (answer,) = answer["predictions"]
    for key in ("decision", "refer", "warnings"):
        assert said[key] == answer[key]
    assert said["refer"] and "one colour" in said["warnings"][0]


def test_a_png_is_the_overlay(client, model):
    found = client.post("/v1/explain", files=files(png(picture())))
    assert found.status_code == 200 and found.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(found.content)))
    assert np.array_equal(shown, np.asarray(model.explain(picture()).overlay()))
    text = base64.b64encode(png(picture())).decode()
    assert client.post("/v1/explain", json={"images": [text]}).content == found.content


@pytest.mark.parametrize(
    ("query", "contents", "status", "words"),
    [
        ("", [b"no picture"], 422, "not a picture"),
        ("", [png(picture()), png(picture())], 422, "2 pictures were sent; send one"),
        ("?target=rd", [png(picture())], 422, "did you mean 'red'"),
        ("?method=occlusion", [png(picture())], 422, "method=occlusion: valid: 'hirescam', "),
        ("?format=gif", [png(picture())], 422, "format=gif: valid: 'png' or 'json'."),
    ],
)
def test_a_bad_request_is_a_sentence(client, query, contents, status, words):
    found = client.post(f"/v1/explain{query}", files=files(*contents))
    assert found.status_code == status and words in found.json()["error"]["message"]


def test_a_model_without_a_network_says_so(client, monkeypatch):
    def refuse(*_, **__):
        raise NoNetwork("/srv/x/model.onnx", "an exported model holds no network: none")

    monkeypatch.setattr("dermasense.serving.explaining.explained", refuse)
    found = client.post("/v1/explain", files=files(png(picture())))
    assert found.status_code == 501
    assert found.json()["error"]["message"] == "an exported model holds no network: none"


def test_a_network_too_coarse_for_a_map_says_so(client, monkeypatch):
    def refuse(*_, **__):
        raise DermaSenseError("At 32 px the network's feature map has 1 x 1 places.")

    monkeypatch.setattr("dermasense.serving.explaining.explained", refuse)
    found = client.post("/v1/explain", files=files(png(picture())))
    assert found.status_code == 501 and found.json()["error"]["code"] == "no_map"
    assert "1 x 1 places" in found.json()["error"]["message"]


def test_the_key_and_the_limits_are_those_of_the_server(model):
    limits = Limits(pixels=1000, request_mb=0.01)
    with TestClient(serving.create_app(model, limits, api_key="k")) as client:
        given = {"headers": {"x-api-key": "k"}}
        assert client.post("/v1/explain", files=files(png(picture()))).status_code == 401
        found = client.post("/v1/explain", files=files(png(picture())), **given)
        assert found.status_code == 422 and "pixels" in found.json()["error"]["message"]
        noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
        found = client.post("/v1/explain", files=files(png(noise)), **given)
        assert found.status_code == 413


def test_more_than_it_takes_on_is_503_and_answers_go_on(model, monkeypatch):
    begun, let_go = threading.Event(), threading.Event()

    def slow(*_, **__):
        begun.set()
        let_go.wait(120)
        return model.explain(picture())

    monkeypatch.setattr("dermasense.serving.explaining.explained", slow)
    with TestClient(
        serving.create_app(model, Limits(explanations=2, answer_seconds=120.0))
    ) as client:
        found = []

        def ask():
            found.append(client.post("/v1/explain", files=files(png(picture()))))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        [thread.start() for thread in threads]
        assert begun.wait(60)
        explaining = client.app.state.service.explaining
        until = time.monotonic() + 60
        while explaining.open < 2 and time.monotonic() < until:
            time.sleep(0.01)
        refused = client.post("/v1/explain", files=files(png(picture())))
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert client.post("/v1/predict", files=files(png(picture()))).status_code == 200
        let_go.set()
        [thread.join(60) for thread in threads]
        assert [each.status_code for each in found] == [200, 200] and explaining.open == 0


def test_one_that_takes_too_long_is_503_and_keeps_its_place_until_it_ends(model, monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(
        "dermasense.serving.explaining.explained", lambda *_, **__: let_go.wait(120)
    )
    with TestClient(
        serving.create_app(model, Limits(explanations=1, answer_seconds=0.1))
    ) as client:
        assert client.post("/v1/explain", files=files(png(picture()))).status_code == 503
        explaining = client.app.state.service.explaining
        assert explaining.open == 1
        let_go.set()
        until = time.monotonic() + 60
        while explaining.open and time.monotonic() < until:
            time.sleep(0.01)
        assert explaining.open == 0


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a priority of its own on Linux")
def test_explaining_has_a_lower_priority_than_answering(client):
    import os

    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    explaining = client.app.state.service.explaining
    assert explaining._thread.submit(priority).result() == min(19, priority() + 10)


def test_the_schema_has_the_ways_in_and_an_example(client):
    schema = client.get("/openapi.json").json()
    route = schema["paths"]["/v1/explain"]["post"]
    assert set(route["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
    answer = route["responses"]["200"]["content"]
    assert set(answer) == {"application/json", "image/png"}
    assert schema["components"]["schemas"]["Looked"]["example"]["target"] == "mel"
    assert {"503", "501", "422"} <= set(route["responses"])
