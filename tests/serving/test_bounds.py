"""The server under load, limits, faults and a signal: bounds that hold, nothing lost."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from starlette.testclient import TestClient

from dermasense.errors import DermaSenseError
from dermasense.serving import app as serving
from dermasense.serving.limits import Limits
from tests.serving.sending import files, limited, picture


def test_a_body_over_the_limit_is_refused(model):
    with limited(model, request_mb=0.01) as client:
        assert client.post("/v1/predict", files=files(picture(side=90))).status_code == 413
        chunks = (b"x" * 1000 for _ in range(20))  # no length is declared
        headers = {"content-type": "application/json"}
        assert client.post("/v1/predict", content=chunks, headers=headers).status_code == 413


@pytest.mark.parametrize("inside", ["images", "other"])
def test_millions_of_values_are_refused_before_they_are_read(model, monkeypatch, inside):
    monkeypatch.setattr("json.loads", lambda _: pytest.fail("read"))
    body = b'{"%s":["' % inside.encode() + b'","' * 1_000_000 + b'"]}'
    with limited(model) as client:
        headers = {"content-type": "application/json"}
        found = client.post("/v1/predict", content=body, headers=headers)
    assert found.status_code == 413 and b"at most 16 pictures" in found.content


def test_more_pictures_than_the_limit_are_not_decoded_from_base64(model, monkeypatch):
    with limited(model, files=2) as client:
        monkeypatch.setattr("base64.b64decode", lambda *_, **__: pytest.fail("decoded"))
        assert client.post("/v1/predict", json={"images": 3 * [""]}).status_code == 413


def test_json_is_read_beside_the_loop(model, monkeypatch):
    right, threads = json.loads, []

    def loads(body):
        threads.append(threading.current_thread().name)
        return right(body)

    with limited(model) as client:
        loop = client.portal.call(threading.current_thread).name
        monkeypatch.setattr("dermasense.serving.uploads.json.loads", loads)
        text = base64.b64encode(picture()).decode()
        given = {"images": [{"name": "," * 120, "data": text}] * 16}
        assert (
            client.post(
                "/v1/predict",
                content=json.dumps(given).encode(),
                headers={"content-type": "application/json"},
            ).status_code
            == 200
        )
    assert len(threads) >= 1 and threads[0] != loop


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(model):
    with limited(model, pixels=1000) as client:
        for path in ("/v1/predict", "/v1/explain"):
            found = client.post(path, files=files(picture()))
            assert found.status_code == 422 and found.json()["error"]["message"] == (
                "a.png: 40 x 40 pixels are more than the limit of 1,000; shrink it."
            )


def test_more_pixels_than_the_bundle_takes_are_a_mistake_that_is_told_at_the_start(model):
    with pytest.raises(DermaSenseError, match=r"limits\.pixels=50000001: the bundle takes"):
        limited(model, pixels=50_000_001)


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


@pytest.mark.parametrize("path", ["/v1/model", "/metrics"])
def test_wrong_keys_are_slowed_as_requests_are(model, path):
    with limited(model, api_key="right", per_minute=3) as client:
        wrong, right = {"x-api-key": "wrong"}, {"x-api-key": "right"}
        codes = [client.get(path, headers=wrong).status_code for _ in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        # Else a guess that is right would be told from the others.
        assert client.get(path, headers=right).status_code == 429
        assert client.get("/healthz").status_code == 200


def test_metrics_with_the_key_take_nothing_of_the_rate(model):
    with limited(model, api_key="right", per_minute=2) as client:
        right = {"x-api-key": "right"}
        assert {client.get("/metrics", headers=right).status_code for _ in range(5)} == {200}
        assert client.get("/v1/model", headers=right).status_code == 200


@pytest.mark.parametrize(
    ("trusted", "codes"),
    [
        ((), [200, 200, 429, 429]),  # all are the proxy
        (("10.1.0.0/16",), [200, 200, 200, 429]),
        (("10.9.9.9",), [200, 200, 429, 429]),
        (("*",), [200, 200, 200, 429]),
    ],
)
def test_only_a_trusted_proxy_says_who_the_client_is(model, trusted, codes):
    app = serving.create_app(model, Limits(per_minute=2), trusted_proxies=trusted)
    with TestClient(app, client=("10.1.2.3", 50_000)) as client:
        clients = "198.51.100.1", "198.51.100.2", "198.51.100.1", "198.51.100.1"
        found = [client.get("/v1/model", headers={"x-forwarded-for": c}) for c in clients]
    assert [each.status_code for each in found] == codes


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
