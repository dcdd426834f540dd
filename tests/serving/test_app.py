"""The server: answers of the model, refusals in sentences, bounds that hold, nothing lost."""

import base64
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from dermasense import load
from dermasense.inference.ensemble_writing import save_ensemble
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import build_classifier
from dermasense.serving import app as serving
from dermasense.serving.limits import Limits
from tests.inference.tiny_bundle import edit

NAMES = ("mel", "nv", "bcc")


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
        NAMES,
        {"training_data": "noise", "note": "pixels of noise"},
    )


@pytest.fixture(scope="module")
def model(bundle):
    return load(bundle, engine="torch", batch_size=4)


@pytest.fixture
def client(model):
    with TestClient(serving.create_app(model)) as client:
        yield client


def limited(model, api_key=None, **limits):
    return TestClient(serving.create_app(model, Limits(**limits), api_key=api_key))


def picture(seed=0, side=40, kind="PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def files(*contents: bytes, name="a.png"):
    return [("files", (name, content)) for content in contents]


def test_an_answer_is_that_of_the_model(client, model):
    found = client.post("/v1/predict", files=files(picture(1), picture(2, kind="JPEG")))
    assert found.status_code == 200
    contents = picture(1), picture(2, kind="JPEG")
    for row, content in zip(found.json()["predictions"], contents, strict=True):
        expected = model.predict(content)
        assert row["class"] == expected.answer and row["error"] is None
        assert row["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-5)
    assert "not a medical device" in found.json()["disclaimer"]


def test_pixels_are_those_of_the_models_own_door(model):
    service = serving.Service(model, Limits())
    turned = Image.open(io.BytesIO(picture(4, side=60))).crop((0, 0, 60, 40))
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # turned by a quarter
    turned.save(buffer, "JPEG", exif=exif)
    expected = model.pixels(buffer.getvalue())
    assert np.array_equal(service._pixels("a.jpg", buffer.getvalue()), expected)


def test_json_with_base64_is_the_same_as_a_form(client):
    text = base64.b64encode(picture(3)).decode()
    form = client.post("/v1/predict", files=files(picture(3))).json()["predictions"][0]
    for image in (text, {"name": "a.png", "data": text}):
        found = client.post("/v1/predict", json={"images": [image]}).json()["predictions"][0]
        assert found["probabilities"] == form["probabilities"]


def test_a_broken_picture_is_named_and_the_others_are_answered(client):
    found = client.post("/v1/predict", files=files(picture(), picture()[:100]))
    good, bad = found.json()["predictions"]
    assert found.status_code == 200
    assert good["error"] is None and bad["class"] is None and "whole picture" in bad["error"]


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"files": files(b"no picture")}, 422, "not a picture"),
        ({"files": files(b"")}, 422, "empty"),
        ({"files": [("other", ("a.png", picture()))]}, 422, "'other' is not known"),
        ({"data": {"files": "text"}}, 415, "content type"),
        ({"json": {"images": []}}, 422, "no picture"),
        ({"json": {"images": ["%"]}}, 422, "Image 1 is no base64"),
        ({"json": {"images": [7]}}, 422, "Image 1 is no base64"),
        ({"json": [1]}, 422, "no list of images"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "no valid JSON"),
        ({"content": b"[" * 10_000, "headers": {"content-type": "application/json"}}, 400, "JSON"),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            400,
            "malformed",
        ),
        ({"content": picture()}, 415, "not given"),
        ({"files": files(*17 * [picture()])}, 413, "at most 16"),
    ],
)
def test_a_bad_request_is_a_sentence(client, request_, status, words):
    found = client.post("/v1/predict", **request_)
    error = found.json()["error"]
    assert found.status_code == status and words in error["message"]
    assert error["request_id"] == found.headers["x-request-id"]


def test_a_name_gives_back_no_folders_and_nothing_unprintable(client):
    found = client.post("/v1/predict", files=files(picture(), name="../../etc/pass wd.png"))
    assert found.json()["predictions"][0]["image"] == "pass wd.png"
    named = {"name": "c:\\x\\\x07a\u202e.png", "data": base64.b64encode(picture()).decode()}
    found = client.post("/v1/predict", json={"images": [named]})
    assert found.json()["predictions"][0]["image"] == "a.png"


def test_a_body_over_the_limit_is_refused(model):
    with limited(model, request_mb=0.01) as client:
        assert client.post("/v1/predict", files=files(picture(side=90))).status_code == 413
        chunks = (b"x" * 1000 for _ in range(20))  # no length is declared
        headers = {"content-type": "application/json"}
        assert client.post("/v1/predict", content=chunks, headers=headers).status_code == 413


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(model):
    with limited(model, pixels=1000) as client:
        found = client.post("/v1/predict", files=files(picture()))
        assert found.status_code == 422 and "pixels" in found.json()["error"]["message"]


def test_nothing_is_written_to_disk(client, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr("tempfile._TemporaryFileArgs", refuse, raising=False)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    large = picture(side=900)
    assert len(large) > 2_000_000  # starlette would spool a megabyte
    assert client.post("/v1/predict", files=files(large)).status_code == 200


def test_a_key_is_asked_for_where_one_is_set(model):
    with limited(model, api_key="s3cret-ü") as client:
        assert client.get("/v1/model").status_code == 401
        assert client.get("/metrics", headers={"x-api-key": "wrong"}).status_code == 401
        right = {"x-api-key": "s3cret-ü".encode()}
        assert client.get("/v1/model", headers=right).status_code == 200
        bearer = {"authorization": "Bearer s3cret-ü".encode()}
        assert client.get("/v1/model", headers=bearer).status_code == 200
        assert client.get("/healthz").status_code == client.get("/").status_code == 200


def test_a_client_has_its_rate(model):
    with limited(model, per_minute=3) as client:
        codes = [client.get("/v1/model").status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        assert int(client.get("/v1/model").headers["retry-after"]) >= 1


def test_overload_is_answered_503_and_all_others_200(model, monkeypatch):
    slow = model.judge

    def judge(self, pixels, names=None):
        time.sleep(0.05)
        return slow(pixels, names)

    monkeypatch.setattr(type(model), "judge", judge)
    with limited(model, queue=4, files=2, requests=50) as client:
        found = []

        def ask():
            found.append(client.post("/v1/predict", files=files(picture(), picture())))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        codes = [answer.status_code for answer in found]
        assert set(codes) == {200, 503} and len(codes) == 20
        assert all("retry-after" in a.headers for a in found if a.status_code == 503)
        assert client.app.state.service.batcher.depth == 0  # every place was given back
        assert client.post("/v1/predict", files=files(picture())).status_code == 200


def test_an_answer_that_takes_too_long_is_503_and_the_server_goes_on(model, monkeypatch):
    with limited(model, answer_seconds=0.2) as client:
        service = client.app.state.service
        judge, let_go, seen = service.batcher.judge, threading.Event(), []

        def slow(pixels, names):
            seen.extend(names)
            let_go.wait(10)
            return judge(pixels, names)

        monkeypatch.setattr(service.batcher, "judge", slow)
        for name in ("slow.png", "gone.png"):
            found = client.post("/v1/predict", files=files(picture(), name=name))
            assert found.status_code == 503 and found.headers["retry-after"] == "1"
        service.limits = Limits()
        let_go.set()
        found = client.post("/v1/predict", files=files(picture(), name="next.png"))
        assert found.status_code == 200
        assert "gone.png" not in seen and service.batcher.depth == 0


def test_all_that_the_model_says_of_a_picture_is_in_the_answer(bundle, tmp_path):
    ruled = shutil.copytree(bundle, tmp_path / "ruled")
    edit(
        ruled,
        decision={"name": "lac", "threshold": 0.7, "referral": 0.2},
        calibration={"name": "temperature", "value": 2.0},
    )
    model, buffer = load(ruled, engine="torch"), io.BytesIO()
    Image.new("RGB", (40, 40), (128, 128, 128)).save(buffer, "PNG")
    expected = model.predict(buffer.getvalue()).as_dict()
    with TestClient(serving.create_app(model)) as client:
        found = client.post("/v1/predict", files=files(buffer.getvalue(), b"broken")).json()
        about, text = client.get("/v1/model").json(), client.get("/metrics").text
    row = found["predictions"][0]
    for key in ("prediction_set", "decision", "refer", "warnings", "distance"):
        assert row[key] == expected[key], key
    assert row["warnings"] and row["prediction_set"]
    assert about["calibrated"] is True and about["detects_unlike_pictures"] is False
    assert about["input_px"] == 32 and about["limits"] == {"request_mb": 20.0, "files": 16}
    for outcome in ("warned", "unreadable"):
        assert f'dermasense_images_total{{outcome="{outcome}"}} 1.0' in text


def test_a_fault_of_the_network_is_500_and_the_server_goes_on(model, monkeypatch, caplog):
    right = type(model).judge
    with TestClient(serving.create_app(model), raise_server_exceptions=False) as client:
        batcher = client.app.state.service.batcher
        monkeypatch.setattr(batcher, "judge", lambda *_: 1 / 0)
        found = client.post("/v1/predict", files=files(picture()))
        assert found.status_code == 500 and "Traceback" not in found.text
        assert "the network failed on 1 pictures" in caplog.text
        assert "ZeroDivisionError" in caplog.text
        monkeypatch.setattr(batcher, "judge", lambda *a: right(model, *a))
        assert client.post("/v1/predict", files=files(picture())).status_code == 200


def test_metrics_and_log_tell_no_content(client, caplog):
    caplog.set_level("INFO", logger="dermasense.serving")
    client.post("/v1/predict", files=files(picture(), name="jane_doe.png"))
    text = client.get("/metrics").text
    assert 'dermasense_requests_total{path="/v1/predict",status="200"} 1.0' in text
    fields = [record.fields for record in caplog.records if record.getMessage() == "request"]
    assert fields[0]["images"] == 1 and fields[0]["status"] == 200
    assert "jane_doe" not in text + caplog.text + json.dumps(fields)


def test_the_page_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert "not a medical device" in page.text and "http" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in ("/page.css", "/page.mjs", "/shown.mjs"):
        found = client.get(path)
        assert found.status_code == 200 and "http" not in found.text


def test_the_schema_names_the_ways_in(client):
    schema = client.get("/openapi.json").json()
    content = schema["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}


def test_what_must_be_said_of_a_model_is_said(client):
    assert client.get("/v1/model").json()["note"] == "pixels of noise"


def test_an_ensemble_of_several_inputs_is_served_like_one_model(bundle, tmp_path):
    torch.manual_seed(1)
    other, spec, _ = build_classifier(
        backbone="tf_efficientnet_lite0", num_classes=3, head={"name": "linear"}, image_size=48
    )
    second = save_bundle(tmp_path / "second", other.eval(), spec, NAMES)
    both = save_ensemble(tmp_path / "both", [("a", bundle, 0.5), ("b", second, 0.5)], average="log")
    model = load(both, engine="torch")
    with TestClient(serving.create_app(model)) as client:
        found = client.post("/v1/predict", files=files(picture(5))).json()
        about = client.get("/v1/model").json()
    expected = model.predict(picture(5)).probabilities
    assert found["predictions"][0]["probabilities"] == pytest.approx(dict(expected), abs=1e-5)
    assert found["model"] == about["name"] == f"model@{about['sha256'][:8]}"


def test_an_unknown_path_is_in_the_shape_of_all_errors(client):
    found = client.get("/nothing")
    assert found.status_code == 404 and found.json()["error"]["code"] == "http"


@pytest.mark.slow
def test_the_command_finishes_what_it_took_on_when_told_to_stop(bundle):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dermasense.serve", f"bundle={bundle}", f"port={port}"]
    server = subprocess.Popen(
        [*command, "engine=torch", "wait_ms=700"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(400):
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        found = []
        ask = threading.Thread(
            target=lambda: found.append(httpx.post(f"{url}/v1/predict", files=files(picture())))
        )
        ask.start()
        time.sleep(0.35)
        server.send_signal(signal.SIGTERM)  # while the picture waits for a batch to fill
        ask.join(30)
        out, err = server.communicate(timeout=30)
    finally:
        server.kill()
    assert found and found[0].status_code == 200
    assert server.returncode == 0 and "not a medical device" in out
    assert all(json.loads(line) for line in err.splitlines())
