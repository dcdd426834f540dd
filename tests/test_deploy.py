"""What runs the server in containers fits the server: options, paths, names of metrics."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVER = COMPOSE["services"]["dermasense"]


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name}\s+(.*)$", joined, re.MULTILINE)


def test_the_server_is_no_root_and_says_whether_it_is_ready():
    assert instructions("USER") == ["10001"] and "HEALTHCHECK" in DOCKERFILE
    assert "/readyz" in instructions("HEALTHCHECK")[0]
    assert SERVER["read_only"]
    for service in COMPOSE["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_no_line_names_a_registry():
    for file in (ROOT / "Dockerfile", ROOT / "compose.yaml"):
        assert "http://" not in re.sub(r"http://127\.0\.0\.1", "", file.read_text())
        assert "https://" not in file.read_text()


def test_what_the_image_copies_is_there_and_let_in():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = {
        word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]
    }
    assert copied == allowed and all((ROOT / name).exists() for name in copied)


def test_its_command_composes():
    from dermasense.hydra_errors import compose_or_explain

    words = [word for word in json.loads(instructions("ENTRYPOINT")[0]) if "=" in word]
    words += [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in SERVER["command"]]
    settings = compose_or_explain("serve", words)
    assert settings.host == "0.0.0.0" and settings.bundle == "shipped"
    assert f"{settings.port}" in instructions("EXPOSE")
    grace = float(SERVER["stop_grace_period"].removesuffix("s"))
    assert grace > settings.limits.receive_seconds + settings.limits.answer_seconds


def test_the_extras_are_those_of_the_package():
    extras = re.search(r"/source\[([\w,]+)\]", DOCKERFILE).group(1).split(",")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(re.search(rf"^{extra} = \[", text, re.MULTILINE) for extra in extras)


def test_prometheus_asks_the_server_with_its_key():
    made = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = made["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["dermasense:8000"]
    file = job["authorization"]["credentials_file"]
    assert COMPOSE["services"]["prometheus"]["secrets"] == [Path(file).name]
    assert COMPOSE["secrets"]["api_key"]["environment"] in SERVER["environment"]


def test_mounted_files_are_there():
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists(), source
            assert source.startswith((".", "$")) or source in COMPOSE["volumes"], source


def test_the_board_draws_metrics_that_the_server_has():
    pytest.importorskip("prometheus_client")
    from dermasense.serving.telemetry import Metrics

    metrics = Metrics()
    metrics.saw_batch(2, 0.1)
    metrics.requests.labels("/v1/predict", "200").inc()
    metrics.seconds.labels("/v1/predict").observe(0.1)
    metrics.images.labels("answered").inc()
    known = set(re.findall(r"^(\w+)[{ ]", metrics.text().decode(), re.MULTILINE))
    board = json.loads((ROOT / "deploy" / "grafana" / "dermasense.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for expression in asked for name in re.findall(r"dermasense_\w+", expression)}
    assert len(asked) >= 6 and named <= known, named - known


def test_the_documented_commands_name_the_services():
    said = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    lines = [shlex.split(line) for line in said.splitlines() if line.startswith("    docker ")]
    assert ["docker", "compose"] in [line[:2] for line in lines]
    assert any(line[1] == "build" and "--build-arg" in line for line in lines)
