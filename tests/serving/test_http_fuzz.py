"""No request, right or wrong, is a fault of the server's; drawn by schemathesis from its schema."""

import pytest

from dermasense import load
from tests.inference.tiny_bundle import tiny_bundle

pytest.importorskip("schemathesis")
EXAMPLES = 120


@pytest.fixture(scope="module")
def fuzz():
    import http_fuzz

    return http_fuzz


@pytest.fixture
def client(fuzz, tmp_path, monkeypatch):
    from tests.fakes import stub_backbone

    monkeypatch.setattr("timm.create_model", stub_backbone)
    model = load(tiny_bundle(tmp_path / "bundle"), engine="torch")
    with fuzz.server(model) as client:
        yield client


@pytest.mark.slow
def test_what_the_schema_allows_and_forbids_is_answered_as_it_says(fuzz, client):
    found = fuzz.by_schema(client, EXAMPLES)
    assert found.counts() == {"tried": found.tried} | dict.fromkeys(
        ("crashes", "hangs", "tracebacks", "http_500"), 0
    )
    assert found.tried > EXAMPLES / 2 and not found.undocumented
    assert {200, 422} <= set(found.statuses)


@pytest.mark.slow
def test_changed_bytes_are_refused_or_answered(fuzz, client):
    found = fuzz.by_bytes(client, EXAMPLES)
    assert found.tried == EXAMPLES and {200, 400, 422} <= set(found.statuses)
    assert not (found.crashes or found.hangs or found.tracebacks or found.http_500)


def test_a_fault_of_the_server_is_found(fuzz, client, monkeypatch):
    service = client.app.state.service
    monkeypatch.setattr(service.batcher, "judge", lambda *_: 1 / 0)
    found = fuzz.by_bytes(client, 40, start=3)
    assert found.http_500 and not found.crashes
