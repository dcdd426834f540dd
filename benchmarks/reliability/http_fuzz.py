"""Requests that no client should send, by the schema and beside it: none may be a server's fault.

    python benchmarks/reliability/http_fuzz.py [--examples 10000]

Half of the requests are drawn by schemathesis from the server's own OpenAPI schema, right and wrong
in turns; half are whole requests whose bytes were cut, changed and put together anew. All go to the
application in this process, with a network of random weights. Writes a row a target into
benchmarks/results/fuzz.csv.
"""

import argparse
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests
import schemathesis
from fuzz import HANG, write_rows
from fuzz_inputs import spoilt
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image
from starlette.testclient import TestClient

from dermasense.inference.model import Model, load
from dermasense.serving.app import create_app
from dermasense.serving.limits import Limits

RESULTS = Path(__file__).parents[1] / "results" / "fuzz.csv"
BOUNDARY = b"b0undary"


@dataclass
class Found:
    """What a server did under fuzz.

    Attributes:
        tried: requests.
        statuses: how many answers of each status.
        crashes, hangs, tracebacks, http_500: requests that ended so, as (method, path, body).
        undocumented: statuses that the schema does not name, with their path.
    """

    tried: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    crashes: list[tuple] = field(default_factory=list)
    hangs: list[tuple] = field(default_factory=list)
    tracebacks: list[tuple] = field(default_factory=list)
    http_500: list[tuple] = field(default_factory=list)
    undocumented: set[tuple] = field(default_factory=set)

    def counts(self) -> dict[str, int]:
        names = ("crashes", "hangs", "tracebacks", "http_500")
        return {"tried": self.tried, **{name: len(getattr(self, name)) for name in names}}

    def send(self, client: TestClient, method: str, path: str, headers: dict, body: bytes) -> int:
        """Sends one request and notes how it ended; returns the status, 0 without an answer."""
        self.tried += 1
        said = method, path, headers.get("content-type"), body
        began = time.monotonic()
        try:
            answer = client.request(method, path, headers=headers, content=body)
        except Exception as error:  # whatever the application let out
            self.crashes.append((*said, repr(error)))
            return 0
        if time.monotonic() - began > HANG:
            self.hangs.append(said)
        if "Traceback" in answer.text:
            self.tracebacks.append(said)
        if answer.status_code >= 500 and answer.status_code != 503:
            self.http_500.append(said)
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        return answer.status_code


@contextmanager
def server(model: Model) -> Iterator[TestClient]:
    """The application with small limits, so that fuzz meets them."""
    limits = Limits(request_mb=0.05, files=3, queue=16, pixels=100_000, answer_seconds=30.0)
    with TestClient(create_app(model, limits)) as client:
        for path in ("/v1/predict", "/v1/explain"):  # the first of each builds what it needs
            kind, body = _form(random.Random(4))
            client.post(path, content=body, headers={"content-type": kind})
        yield client


def _model(folder: Path) -> Model:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from predict_rate import make_bundle

    return load(make_bundle(folder / "bundle", "tf_efficientnet_lite0", 32))


def by_schema(client: TestClient, examples: int, start: int = 0) -> Found:
    """Requests drawn from the schema, `examples` in all, right and wrong by halves."""
    found = Found()
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    operations = [each.ok() for each in schema.get_all_operations()]
    modes = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
    # What takes nothing has little to be asked: most of the requests go to those with a body.
    taking = [each for each in operations if each.body]
    for operation in operations:
        share = examples // (2 * len(taking)) if operation in taking else 2
        for mode in modes:
            try:
                strategy = operation.as_strategy(generation_mode=mode)
                _draw(strategy, share, start, lambda case: _case(client, case, found))
            except (schemathesis.errors.SchemathesisError, Unsatisfiable):
                continue  # an operation without arguments cannot be asked wrongly
    return found


def _case(client: TestClient, case: schemathesis.Case, found: Found) -> None:
    arguments = case.as_transport_kwargs(base_url="http://testserver")
    known = {k: v for k, v in arguments.items() if k not in ("timeout", "verify", "cert")}
    request = requests.Request(**known).prepare()
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else body
    headers = {key.lower(): value for key, value in request.headers.items()}
    status = found.send(client, request.method, request.path_url, headers, body)
    if str(status) not in case.operation.definition.raw["responses"]:
        found.undocumented.add((status, case.operation.path))


def _draw(strategy, examples: int, start: int, call: Callable) -> None:
    @seed(start)
    @settings(
        max_examples=max(1, examples),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(drawn) -> None:
        call(drawn)

    each()


def by_bytes(client: TestClient, examples: int, start: int = 0) -> Found:
    """Whole requests with a picture, whose bytes were changed."""
    found, rng = Found(), random.Random(start)
    for _ in range(examples):
        path = rng.choice(["/v1/predict", "/v1/predict", "/v1/predict", "/v1/explain"])
        kind, body = rng.choice([_form, _json])(rng)
        if rng.random() < 0.8:
            body = spoilt(body, rng)
        if rng.random() < 0.1:
            kind = bytes(spoilt(kind.encode(), rng)).decode("latin-1")
        headers = {"content-type": "".join(c for c in kind if c.isprintable() and c.isascii())}
        found.send(client, "POST", path, headers, body)
    return found


def _picture(rng: random.Random) -> bytes:
    shape = (rng.choice([1, 8, 40]), rng.choice([1, 9, 40]), 3)
    pixels = np.frombuffer(rng.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)
    buffer = io.BytesIO()
    kind = rng.choice(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"])
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue() if rng.random() < 0.5 else spoilt(buffer.getvalue(), rng)


def _form(rng: random.Random) -> tuple[str, bytes]:
    part = b'--%s\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n%s\r\n'
    body = b"".join(part % (BOUNDARY, _picture(rng)) for _ in range(rng.choice([0, 1, 1, 2, 5])))
    return "multipart/form-data; boundary=b0undary", body + b"--%s--\r\n" % BOUNDARY


def _json(rng: random.Random) -> tuple[str, bytes]:
    import base64
    import json

    images = [base64.b64encode(_picture(rng)).decode() for _ in range(rng.choice([0, 1, 1, 4]))]
    odd = [None, 1e400, "", "%", {"data": 3}, {"name": [], "data": ""}, [[]], "\ud800", -0.0]
    if rng.random() < 0.4:
        images.append(rng.choice(odd))
    return "application/json", json.dumps({"images": images}).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, server(_model(Path(folder))) as client:
        for target, fuzz in (("HTTP by the schema", by_schema), ("HTTP by bytes", by_bytes)):
            began = time.monotonic()
            found = fuzz(client, options.examples // 2, options.seed)
            row = {"target": target, **found.counts()}
            row["seconds"] = round(time.monotonic() - began)
            rows.append(row)
            print(row, dict(sorted(found.statuses.items())), found.undocumented, flush=True)
            for name in ("crashes", "hangs", "tracebacks", "http_500"):
                for one in getattr(found, name)[:3]:
                    print(name, one)
    command = " ".join(["python", "benchmarks/reliability/http_fuzz.py", *sys.argv[1:]])
    write_rows(options.results, rows, command)


if __name__ == "__main__":
    main()
