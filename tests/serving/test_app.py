"""The server's answers: those of the model, and refusals in sentences."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from dermasense import load, serve
from dermasense.errors import DermaSenseError
from dermasense.inference.ensemble_writing import save_ensemble
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import build_classifier
from dermasense.serving import app as serving
from dermasense.serving.limits import Limits
from tests.inference.tiny_bundle import decided, edit
from tests.serving.sending import files, limited, picture


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
    assert np.array_equal(service.decoding.pixels("a.jpg", buffer.getvalue()), expected)


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


def test_all_that_the_model_says_of_a_picture_is_in_the_answer(bundle, tmp_path):
    ruled = shutil.copytree(bundle, tmp_path / "ruled")
    edit(
        ruled,
        decision=decided(lac=0.7, referral=0.2),
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
    assert about["views"] == "none"
    assert about["input_px"] == 32
    assert json.dumps(about["limits"]) == '{"request_mb": 20.0, "files": 16, "pixels": 50000000}'
    for outcome in ("warned", "unreadable"):
        assert f'dermasense_images_total{{outcome="{outcome}"}} 1.0' in text


def test_a_calibration_that_is_null_is_none(bundle, tmp_path):
    plain = shutil.copytree(bundle, tmp_path / "plain")
    edit(plain, calibration=None, temperature=1.0)
    with TestClient(serving.create_app(load(plain, engine="torch"))) as client:
        assert client.get("/v1/model").json()["calibrated"] is False


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


@pytest.mark.parametrize("path", ["/", "/page.css", "/healthz", "/readyz"])
def test_what_is_asked_for_may_be_asked_for_by_its_head(client, path):
    head, whole = client.head(path), client.get(path)
    assert head.status_code == whole.status_code == 200
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_the_schema_names_the_ways_in(client):
    schema = client.get("/openapi.json").json()
    content = schema["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}


def test_the_schema_tells_of_keys_where_they_are_asked_for(client, model):
    asked = [("/v1/predict", "post"), ("/v1/explain", "post"), ("/v1/model", "get")]
    asked.append(("/metrics", "get"))
    with limited(model, api_key="k") as guarded:
        schema = guarded.get("/openapi.json").json()
    kinds = schema["components"]["securitySchemes"].values()
    assert {(each["type"], each.get("name", each.get("scheme"))) for each in kinds} == {
        ("apiKey", "X-API-Key"),
        ("http", "bearer"),
    }
    for path, method in asked:
        route = schema["paths"][path][method]
        assert len(route["security"]) == 2 and {"401", "429", "500"} <= set(route["responses"])
    assert "security" not in schema["paths"]["/healthz"]["get"]
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


def test_the_schema_has_each_form_of_a_picture_in_json(client):
    schema = client.get("/openapi.json").json()
    body = schema["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]
    text, named = body["schema"]["properties"]["images"]["items"]["anyOf"]
    assert text["type"] == "string" and set(named["properties"]) == {"name", "data"}
    said = schema["components"]["schemas"]["Answer"]["properties"]["class"]["description"]
    assert "cost" in said


def test_what_must_be_said_of_a_model_is_said(client):
    assert client.get("/v1/model").json()["note"] == "pixels of noise"


def test_an_ensemble_of_several_inputs_is_served_like_one_model(bundle, tmp_path):
    torch.manual_seed(1)
    other, spec, _ = build_classifier(
        backbone="tf_efficientnet_lite0", num_classes=3, head={"name": "linear"}, image_size=48
    )
    second = save_bundle(tmp_path / "second", other.eval(), spec, load(bundle).class_names)
    both = save_ensemble(tmp_path / "both", [("a", bundle, 0.5), ("b", second, 0.5)], average="log")
    model = load(both, engine="torch")
    with TestClient(serving.create_app(model)) as client:
        found = client.post("/v1/predict", files=files(picture(5))).json()
        about = client.get("/v1/model").json()
    expected = model.predict(picture(5)).probabilities
    assert found["predictions"][0]["probabilities"] == pytest.approx(dict(expected), abs=1e-5)
    assert found["model"] == about["name"] == f"ensemble of 2@{about['sha256'][:8]}"


def test_the_views_that_it_averages_are_told(bundle):
    with TestClient(serving.create_app(load(bundle, engine="torch", tta="flips"))) as client:
        assert client.get("/v1/model").json()["views"] == "flips"


@pytest.mark.parametrize(("words", "views"), [([], None), (["tta=flips"], "flips")])
def test_the_command_takes_the_views_of_the_bundle_or_those_that_are_asked_for(
    run_command, monkeypatch, words, views
):
    def made(recipe):
        raise DermaSenseError(f"{recipe.options['tta']} {recipe.options['average']}.")

    monkeypatch.setattr("dermasense.serving.building.Recipe.__call__", made)
    code, _, err = run_command(serve, *words)
    assert code == 2 and f"error: {views} {views and 'log'}." in err


def test_an_unknown_path_is_in_the_shape_of_all_errors(client):
    found = client.get("/nothing")
    assert found.status_code == 404 and found.json()["error"]["code"] == "http"
