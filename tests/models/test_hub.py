"""The question whether the hub is there has a time limit."""

import socket
import time

import pytest

from dermasense.models import hub

HUB = {"hf_hub_id": "timm/a-model-that-is-not-cached.in1k", "url": ""}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def test_a_model_without_an_address_is_not_asked_for():
    assert hub.unreachable({}) == ""
    assert hub.cached({}) is None


def test_no_name_server_is_said(monkeypatch):
    def fails(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", fails)
    assert "huggingface.co: Name or service not known" in hub.unreachable(HUB)


def test_silence_ends_at_the_limit(monkeypatch):
    def silence(*args, **kwargs):
        time.sleep(1)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silence)
    start = time.monotonic()
    assert "no answer from huggingface.co:443 in 0.2 s" in hub.unreachable(HUB, seconds=0.2)
    assert time.monotonic() - start < 0.9


def test_a_proxy_is_asked_in_place_of_the_hub(monkeypatch):
    asked = []

    class Connection:
        def close(self):
            pass

    def connects(address, timeout):
        asked.append(address)
        return Connection()

    monkeypatch.setattr(socket, "create_connection", connects)
    assert hub.unreachable(HUB) == ""
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy.example:3128"})
    assert hub.unreachable(HUB) == ""
    assert asked == [("huggingface.co", 443), ("proxy.example", 3128)]


def test_offline_mode_asks_nobody(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket, "create_connection", None)
    assert "HF_HUB_OFFLINE" in hub.unreachable(HUB)
