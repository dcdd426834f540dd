"""A local HTTP server that serves files well, or cuts, corrupts, refuses and changes them."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """One file and how it is served.

    Attributes:
        body: its bytes.
        cuts: bytes after which each of the next answers ends early; then it is served whole.
        corrupt: how many of the next answers have a wrong byte.
        statuses: HTTP statuses of the next answers, before any other.
        ranges: False answers a Range with the whole file.
        etag: version of the file; None sends none.
        kind: Content-Type.
    """

    body: bytes
    cuts: list[int] = field(default_factory=list)
    corrupt: int = 0
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"v1"'
    kind: str = "application/octet-stream"


class Server:
    """Files by path; `requests` records (path, Range header) of each request."""

    def __init__(self, address: str):
        self.address = address
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str | None]] = []

    def put(self, path: str, body: bytes, **options) -> str:
        self.files[path] = Served(body, **options)
        return f"{self.address}{path}"

    def ranges(self, path: str) -> list[str | None]:
        return [asked for served, asked in self.requests if served == path]


class Handler(BaseHTTPRequestHandler):
    served: Server

    def do_GET(self):
        asked = self.headers.get("Range")
        self.served.requests.append((self.path, asked))
        file = self.served.files.get(self.path)
        if file is None:
            return self.send_error(404)
        if file.statuses:
            return self.send_error(file.statuses.pop(0))
        body, start = file.body, 0
        if file.corrupt:
            file.corrupt -= 1
            body = body[:-1] + bytes([body[-1] ^ 1])
        same = self.headers.get("If-Range") in (None, file.etag)
        if asked and file.ranges and same:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if file.etag:
            self.send_header("ETag", file.etag)
        self.send_header("Content-Type", file.kind)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + file.cuts.pop(0) if file.cuts else len(body)
        self.wfile.write(body[start:end])

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    """A `Server` on a free port of this machine."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {}))
    served = Server(f"http://127.0.0.1:{http.server_port}")
    http.RequestHandlerClass.served = served
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
