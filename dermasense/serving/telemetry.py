"""What the server says of itself: Prometheus metrics and a line of JSON a request, no content."""

import json
import logging
import sys
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
log = logging.getLogger("dermasense.serving")


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = {"registry": self.registry}
        self.requests = Counter(
            "dermasense_requests", "Requests by path and status.", ["path", "status"], **made
        )
        self.seconds = Histogram(
            "dermasense_request_seconds", "Time of a request.", ["path"], buckets=SECONDS, **made
        )
        self.images = Counter(
            "dermasense_images", "Pictures by what became of them.", ["outcome"], **made
        )
        self.batch = Histogram(
            "dermasense_batch_images", "Pictures in a batch.", buckets=(1, 2, 4, 8, 16, 32), **made
        )
        self.network = Histogram(
            "dermasense_network_seconds", "Time of a batch.", buckets=SECONDS, **made
        )
        self.queue = Gauge("dermasense_queue_images", "Pictures that wait.", **made)
        self.open = Gauge("dermasense_open_requests", "Requests being answered.", **made)

    def saw_batch(self, size: int, seconds: float) -> None:
        """A batch went through the network."""
        self.batch.observe(size)
        self.network.observe(seconds)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)


class JsonLines(logging.Formatter):
    """One JSON object a line; fields of a record stand in `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + "Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_to_stderr() -> None:
    """Sends the server's lines, and those of uvicorn, to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("dermasense", "uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name != "asyncio" else logging.ERROR)
