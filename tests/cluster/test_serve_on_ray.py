"""Copies of the server on Ray Serve: the same answers, one of them killed, told to stop."""

import asyncio
import io
import json
import signal
import urllib.request

import pytest
from PIL import Image

from dermasense import load, serve
from dermasense.cluster.ray_cluster import Cluster
from dermasense.data.lesion_painter import paint
from dermasense.data.lesion_population import draw_population
from dermasense.errors import DermaSenseError


def test_another_launcher_is_refused(call_command, here):
    code, _, err = call_command(serve, "launcher=submitit_local")
    assert code == 2 and "serve takes launcher=ray" in err


def test_no_copies_are_refused(call_command, here):
    code, _, err = call_command(serve, "launcher=ray", "replicas=0")
    assert code == 2 and "replicas=0" in err


def test_copies_without_ray_are_refused(call_command, here):
    code, _, err = call_command(serve, "replicas=3")
    assert code == 2 and "add launcher=ray" in err


@pytest.fixture
def lesion() -> bytes:
    person = draw_population(seed=5, n_lesions=7)[0]
    file = io.BytesIO()
    Image.fromarray(paint(person.lesion, person.views[0], 320)[0]).save(file, "PNG")
    return file.getvalue()


def post(url: str, data: bytes) -> dict:
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    body += data + b"\r\n--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with urllib.request.urlopen(urllib.request.Request(url, body, kind), timeout=60) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_a_killed_copy_costs_what_it_was_answering_and_no_more(lesion):
    pytest.importorskip("ray.serve", reason="Ray Serve is not installed (extra scale)")
    pytest.importorskip("psutil", reason="psutil is not installed (extra dev)")
    from http_load import closed, serving
    from ray_serve import back_after, copies, kill_one

    words = ["launcher=ray", "launcher.num_cpus=2", "launcher.cpus=0.5", "replicas=2"]
    expected = load("shipped").predict(lesion)
    with serving("ours", "shipped", *words) as (url, process):
        (answer,) = post(url, lesion)["predictions"]
        assert answer["class"] == expected.answer
        assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
        assert len(copies(process.pid)) == 2
        killed = []

        def watch(number: int) -> None:
            if number == 10:
                killed.append(kill_one(process.pid))

        tally = asyncio.run(closed(url, [lesion], 4, 60, watch))
        assert tally.statuses[200] >= 56 and sum(tally.statuses.values()) + tally.lost == 60
        back_after(process.pid, killed[0], 2)
        after = asyncio.run(closed(url, [lesion], 4, 20))
        assert after.statuses == {200: 20}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_more_copies_than_the_cluster_has_room_for_are_refused(monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed (extra scale)")
    nodes = [
        {"Alive": True, "Resources": {"CPU": 3.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    Cluster(cpus=1).check_room(4)
    Cluster(cpus=0.5, gpus=0.5).check_room(2)
    with pytest.raises(DermaSenseError, match="replicas=5: the cluster has room for 4"):
        Cluster(cpus=1).check_room(5)
    with pytest.raises(DermaSenseError, match="room for 2"):
        Cluster(cpus=0.5, gpus=0.5).check_room(3)
