"""Answers that are no prediction: one shape, a code for programs and a sentence for people."""

from collections.abc import Mapping

from starlette.responses import JSONResponse


class Problem(Exception):
    """A request that is not answered as asked.

    Attributes:
        status: of HTTP.
        code: a word for programs.
        message: a sentence for people.
        headers: of the answer, such as Retry-After.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})

    def response(self, request_id: str) -> JSONResponse:
        """As HTTP carries it."""
        error = {"code": self.code, "message": self.message, "request_id": request_id}
        return JSONResponse({"error": error}, self.status, self.headers)


def busy(seconds: float) -> Problem:
    """503: come again after `seconds`."""
    headers = {"Retry-After": str(max(1, round(seconds)))}
    return Problem(503, "busy", "The server has as much to do as it takes on; try again.", headers)
