"""From the options of `dermasense.serve` to the application, in this process or in another."""

from dataclasses import dataclass
from typing import Any

from dermasense.inference.model import load
from dermasense.serving.app import create_app
from dermasense.serving.limits import Limits
from dermasense.serving.telemetry import log_to_stderr


@dataclass(frozen=True)
class Recipe:
    """What a server is made of; small, so that it can be sent to where the server runs.

    Attributes:
        bundle: of `dermasense.load`.
        options: device, engine, batch_size, tta and average of the same.
        limits: what it takes on.
        api_key: asked for under /v1/ and /metrics; None asks for none.
        wait_seconds: how long an idle network waits for a batch to fill.
        trusted_proxies: whose X-Forwarded-For says who the client is.
    """

    bundle: str
    options: dict[str, Any]
    limits: Limits
    api_key: str | None
    wait_seconds: float
    trusted_proxies: tuple[str, ...] = ()

    def __call__(self) -> Any:
        """Loads the bundle; the application, which logs lines of JSON to standard error.

        Raises:
            DermaSenseError: the bundle cannot be read.
        """
        model = load(self.bundle, **self.options)
        app = create_app(
            model,
            self.limits,
            api_key=self.api_key,
            wait_seconds=self.wait_seconds,
            trusted_proxies=self.trusted_proxies,
        )
        log_to_stderr()
        return app
