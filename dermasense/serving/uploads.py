"""The pictures of a request, held in memory alone: nothing that is sent here touches a disk."""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncGenerator

from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from dermasense.serving.limits import Limits
from dermasense.serving.problems import Problem

FIELD = "files"
_NAME = 120  # characters of a client's file name that are given back
HOW = (
    f'send one or many files in the field "{FIELD}" as multipart/form-data, or JSON as '
    '{"images": ["<base64>", ...]}'
)


class InMemory(MultiPartParser):
    """Starlette's parser, which would write files of over a megabyte to a temporary file."""

    spool_max_size = 2**62


async def read_pictures(request: Request, limits: Limits) -> list[tuple[str, bytes]]:
    """Names and contents of the pictures of a request.

    Raises:
        Problem: the body is too large or too slow, of another type, or holds no picture.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("multipart/form-data", "application/json"):
        raise Problem(415, "content_type", f"The content type is {kind or 'not given'}; {HOW}.")
    body = await _received(request, limits)
    if kind == "application/json":
        # In a thread: the loop answers others meanwhile.
        pictures = await asyncio.to_thread(_from_json, body, limits.files)
    else:
        pictures = await _from_form(request, body, limits)
    if not pictures:
        raise Problem(422, "no_pictures", f"The request holds no picture; {HOW}.")
    if len(pictures) > limits.files:
        raise _too_many(limits.files)
    return [(_safe(name, number), data) for number, (name, data) in enumerate(pictures, start=1)]


async def _received(request: Request, limits: Limits) -> bytes:
    most = limits.request_bytes
    too_large = Problem(
        413, "too_large", f"The body is over {limits.request_mb:g} MB; send smaller pictures."
    )
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.receive_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise Problem(
            408, "too_slow", f"The body did not arrive within {limits.receive_seconds:g} s."
        ) from None
    except ClientDisconnect:
        raise Problem(499, "gone", "The client went away.") from None
    return bytes(body)


async def _from_form(request: Request, body: bytes, limits: Limits) -> list[tuple[str, bytes]]:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    parser = InMemory(
        request.headers, whole(), max_files=limits.files + 1, max_fields=8, max_part_size=4096
    )
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError, UnicodeDecodeError) as error:
        words = getattr(error, "message", "") or "it cannot be parsed"
        if "Too many files" in words:
            raise _too_many(limits.files) from None
        raise Problem(400, "form", f"The form is malformed ({words}); {HOW}.") from None
    found = []
    for key, value in form.multi_items():
        if key != FIELD or not isinstance(value, UploadFile):
            raise Problem(422, "field", f"The field {key[:40]!r} is not known; {HOW}.")
        found.append((value.filename or "", await value.read()))
    return found


def _from_json(body: bytes, most: int) -> list[tuple[str, bytes]]:
    # A comma a value: base64 has none, and so many stand between pictures and in names at most.
    if body.count(b",") > most * (2 + _NAME):
        raise _too_many(most)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "json", f"The body is no valid JSON; {HOW}.") from None
    images = value.get("images") if isinstance(value, dict) else None
    if not isinstance(images, list):
        raise Problem(422, "json", f"The JSON has no list of images; {HOW}.")
    if len(images) > most:
        raise _too_many(most)
    found = []
    for number, image in enumerate(images, start=1):
        name, data = "", image
        if isinstance(image, dict):
            name, data = str(image.get("name") or ""), image.get("data")
        try:
            if not isinstance(data, str):
                raise ValueError
            found.append((name, base64.b64decode(data, validate=True)))
        except (ValueError, binascii.Error):
            raise Problem(422, "base64", f"Image {number} is no base64 text; {HOW}.") from None
    return found


def _too_many(most: int) -> Problem:
    return Problem(413, "too_many_files", f"Send at most {most} pictures in one request.")


def _safe(name: str, number: int) -> str:
    """A name that may stand in an answer: no folders, nothing unprintable, not long."""
    last = re.split(r"[/\\]", name)[-1]
    plain = "".join(each for each in last if each.isprintable())[:_NAME].strip()
    return plain or f"image {number}"
