"""What the tests of the server send, and a server with bounds."""

import io

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from dermasense.serving import app as serving
from dermasense.serving.limits import Limits


def limited(model, api_key=None, **limits):
    return TestClient(serving.create_app(model, Limits(**limits), api_key=api_key))


def picture(seed=0, side=40, kind="PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def files(*contents: bytes, name="a.png"):
    return [("files", (name, content)) for content in contents]
