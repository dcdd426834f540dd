"""A small picture inside a page, which needs no file beside it."""

import base64
import io

from dermasense.data.preprocess import read_rgb
from dermasense.errors import DermaSenseError


def thumbnail(path: str | None, side: int) -> str | None:
    """A JPEG as a data URI, its longer side at most `side` px; None where none can be read."""
    if not path:
        return None
    try:
        picture = read_rgb(path)
    except (DermaSenseError, OSError):
        return None
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
