"""What the server takes on, and what it turns away."""

import math
from dataclasses import dataclass, fields, replace

from dermasense.data.preprocess import MAX_PIXELS
from dermasense.errors import DermaSenseError


@dataclass(frozen=True)
class Limits:
    """Bounds of the server; every one is there so that no request can take the others' share.

    Attributes:
        request_mb: largest body of a request, in megabytes (10^6 bytes).
        files: most pictures in one request.
        pixels: most pixels of one picture, known before it is decoded; None: what the bundle takes,
            at most MAX_PIXELS.
        queue: most pictures that wait for the network; more are answered 503.
        requests: most requests at once, those still being received included; more are answered 503.
        explanations: most pictures that are explained or wait for that; more are answered 503.
        receive_seconds: time to send a body in.
        answer_seconds: time from a whole body to its answer.
        per_minute: requests a client may make in a minute, those with a wrong key too; 0 for no
            bound.
    """

    request_mb: float = 20.0
    files: int = 16
    pixels: int | None = None
    queue: int = 64
    requests: int = 64
    explanations: int = 4
    receive_seconds: float = 20.0
    answer_seconds: float = 20.0
    per_minute: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            good = isinstance(value, int | float) and not isinstance(value, bool)
            good = good and math.isfinite(value)
            integer = not isinstance(field.default, float)
            whole = not integer or isinstance(value, int)
            if not (good and whole) or value < 0 or (value == 0 and field.name != "per_minute"):
                kind = "an integer" if integer else "a number"
                bound = ">= 0" if field.name == "per_minute" else "above 0"
                raise DermaSenseError(f"limits.{field.name}={value}: expected {kind} {bound}.")
        if self.files > self.queue:
            raise DermaSenseError(
                f"limits.files={self.files}: a request of so many pictures never fits into "
                f"limits.queue={self.queue}; raise the queue."
            )

    def within(self, most: int) -> "Limits":
        """These limits for a bundle, with `pixels` as a number.

        Args:
            most: pixels of a picture that the bundle takes.

        Raises:
            DermaSenseError: `pixels` are more than those.
        """
        if self.pixels is not None and self.pixels > most:
            raise DermaSenseError(
                f"limits.pixels={self.pixels}: the bundle takes at most {most:,} pixels a picture "
                "(max_pixels in its model.json); lower it, or leave it out."
            )
        return replace(self, pixels=self.pixels or min(most, MAX_PIXELS))

    @property
    def request_bytes(self) -> int:
        """Largest body in bytes."""
        return int(self.request_mb * 1e6)

    @property
    def most_seconds(self) -> float:
        """Longest that a request may take, from its first byte to its answer."""
        return self.receive_seconds + self.answer_seconds
