"""`/v1/explain`: where the model looked, in a place of its own that cannot stall answers.

One thread explains, at a lower priority than the network where the system has such; so many wait
for it, and more are answered 503 at once.
"""

import asyncio
import base64
import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from PIL import Image
from pydantic import BaseModel, Field
from starlette.responses import Response

from dermasense.data.preprocess import UnreadableImage
from dermasense.errors import DermaSenseError
from dermasense.inference.explaining import QUICK
from dermasense.inference.explaining.explainer import PREDICTED, check_target, explained
from dermasense.inference.explaining.explanation import Explanation
from dermasense.inference.model import Model
from dermasense.inference.prediction import DISCLAIMER
from dermasense.models.bundle import NoNetwork
from dermasense.serving.decoding import Decoding, told
from dermasense.serving.limits import Limits
from dermasense.serving.problems import Problem, busy
from dermasense.serving.uploads import read_pictures

SIDE = 640  # px of the longer side of what is sent back
_LOWER = 10  # added to the nice value
EXAMPLE = {
    "image": "photo.jpg",
    "target": "mel",
    "probability": 0.06,
    "answer": "nv",
    "decision": "answer",
    "refer": False,
    "warnings": [],
    "method": "hirescam",
    "empty": False,
    "says": "What speaks most for mel lies in the upper left part of the picture, by HiResCAM.",
    "overlay": "iVBORw0KGgo=",
    "map": "iVBORw0KGgo=",
    "request_id": "6f1c0a",
    "disclaimer": DISCLAIMER,
}
DEFAULT = "hirescam"
Method = Literal[(DEFAULT, *(method for method in QUICK if method != DEFAULT))]


class Looked(BaseModel):
    """Where the parts of a picture lie that speak for a class."""

    image: str = Field(description="The file's name, without folders.")
    target: str = Field(description="The class that was asked for.")
    probability: float = Field(description="Its calibrated probability.")
    answer: str = Field(description="The class that predict answers.")
    decision: str = Field(description="answer, refer, or no rule.")
    refer: bool | None = Field(description="True: a person should look.")
    warnings: list[str] = Field(description="Why the answer may be worth little.")
    method: str
    empty: bool = Field(description="True: nothing in the picture speaks for the class.")
    says: str = Field(description="The map in a sentence, for who does not see it.")
    overlay: str = Field(description="PNG in base64: the picture, cleaned, with the map on it.")
    map: str = Field(description="PNG in base64: the map, grey, 255 at its peak, over the same.")
    request_id: str
    disclaimer: str = DISCLAIMER
    model_config = {"json_schema_extra": {"example": EXAMPLE}}


class Explaining:
    """A bounded place for explanations.

    Args:
        model: of `dermasense.load`.
        limits: of the server.
        decoding: what opens the pictures.
    """

    def __init__(self, model: Model, limits: Limits, decoding: Decoding) -> None:
        self.model, self.limits, self.decoding, self.open = model, limits, decoding, 0
        self._thread = ThreadPoolExecutor(1, "explain", initializer=_yield_to_others)

    async def run(self, work: Callable[[], Any]) -> Any:
        """What `work` gives, computed in the thread.

        Raises:
            Problem: 503 where there is no place, or it takes too long.
        """
        if self.open >= self.limits.explanations:
            raise busy(1)
        self.open += 1
        job = asyncio.get_running_loop().run_in_executor(self._thread, work)
        job.add_done_callback(self._release)  # not before: who went away still holds the thread
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                return await asyncio.shield(job)
        except TimeoutError:
            raise busy(self.limits.answer_seconds) from None

    def explain(self, name: str, data: bytes, method: str, target: str) -> Explanation:
        """The explanation of a picture of a request; call it in the thread."""
        with self.decoding.opened(name, data) as picture:
            return explained(self.model, picture, name, method=method, target=target, side=SIDE)

    def stop(self) -> None:
        """Begins no more; does not wait for what was begun, of which all askers were answered."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _release(self, job: asyncio.Future) -> None:
        self.open -= 1
        if not job.cancelled():
            job.exception()  # of a request that timed out nobody asks


def add_explain(app: FastAPI, service: Any, responses: dict, upload: dict, asks: list) -> None:
    """Adds the route.

    Args:
        app: the application.
        service: of `dermasense.serving.app`.
        responses, upload, asks: its refusals, its way in and its keys, for the schema.
    """
    answers = {
        200: {
            "model": Looked,
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            "description": "A PNG with picture, map, class and probability; or JSON.",
        },
        501: responses[422]
        | {"description": "The model holds no network, or one too coarse to explain."},
    }

    @app.post(
        "/v1/explain",
        responses=responses | answers,
        openapi_extra=upload,
        dependencies=asks,
        summary="Where the model looked in one picture",
    )
    async def explain(
        request: Request,
        method: Annotated[Method, Query(description="How; see docs/explain.md.")] = DEFAULT,
        target: Annotated[str, Query(description="A class name, or predicted.")] = PREDICTED,
        format: Annotated[Literal["png", "json"], Query(description="Of the answer.")] = "png",
    ) -> Response:
        explaining: Explaining = service.explaining
        pictures = await read_pictures(request, service.limits)
        if len(pictures) > 1:
            raise Problem(422, "one_picture", f"{len(pictures)} pictures were sent; send one.")
        name, data = pictures[0]
        request.state.noted = {"images": 1, "bytes": len(data), "method": method}
        try:
            check_target(target, explaining.model.class_names)
        except DermaSenseError as error:
            raise Problem(422, "target", str(error)) from None

        def work() -> tuple[bytes | dict, str]:
            found = explaining.explain(name, data, method, target)
            if format == "png":
                return _png(found.overlay()), "image/png"
            return _as_dict(found), "application/json"

        try:
            made, kind = await explaining.run(work)
        except UnreadableImage as error:
            raise Problem(422, "unreadable", f"{name}: {told(error)}") from None
        except NoNetwork as error:
            raise Problem(501, "no_network", error.reason) from None
        except DermaSenseError as error:  # not of the request, which was checked
            raise Problem(501, "no_map", str(error)) from None
        if kind == "image/png":
            return Response(made, media_type=kind)
        said = Looked(**made, request_id=request.state.id)
        return Response(said.model_dump_json(), media_type=kind)


def _as_dict(found: Explanation) -> dict[str, Any]:
    grey = Image.fromarray((found.map * 255).round().astype("uint8"))
    return {
        "image": found.image,
        "target": found.target,
        "probability": found.probability,
        "answer": found.prediction.answer,
        "decision": found.prediction.decision,
        "refer": found.prediction.refer,
        "warnings": list(found.prediction.warnings),
        "method": found.method,
        "empty": found.empty,
        "says": found.sentence,
        "overlay": base64.b64encode(_png(found.heat())).decode(),
        "map": base64.b64encode(_png(grey)).decode(),
    }


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _yield_to_others() -> None:
    """Lets this thread, and those that torch begins for it, wait for the network's."""
    if sys.platform == "linux":  # elsewhere a priority is a process's
        with contextlib.suppress(OSError):
            mine = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, mine, os.getpriority(os.PRIO_PROCESS, mine) + _LOWER)
