"""From the bytes that were sent to the model's pixels: some threads, and memory that is bounded."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from PIL import Image

from dermasense.data.preprocess import TooLarge, UnreadableImage, read_rgb
from dermasense.inference.model import Model
from dermasense.provenance import usable_cores

THREADS = 4  # at most; a picture at the limit of pixels takes .3 to .6 GB while it is decoded
AT_ONCE = 2  # pictures at the limit of pixels that are decoded at once


class Room:
    """Pixels that may lie decoded at once, over all threads; a picture of more goes alone.

    Args:
        most: pixels.
    """

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0
        self._line, self._changed = threading.Lock(), threading.Condition()

    @contextmanager
    def place(self) -> Iterator[Callable[[int], None]]:
        """A function that waits until there is room for so many pixels; given back at the end."""
        mine = 0

        def take(pixels: int) -> None:
            nonlocal mine
            # One waits at a time, so that no large picture is passed by small ones for ever.
            with self._line, self._changed:
                self._changed.wait_for(lambda: not self.taken or self.taken + pixels <= self.most)
                self.taken += pixels
                mine += pixels

        try:
            yield take
        finally:
            with self._changed:
                self.taken -= mine
                self._changed.notify_all()


class Decoding:
    """Where pictures are decoded.

    Args:
        model: of `dermasense.load`.
        pixels: most pixels of a picture.
    """

    def __init__(self, model: Model, pixels: int) -> None:
        self.model, self.most, self.room = model, pixels, Room(AT_ONCE * pixels)
        self.threads = ThreadPoolExecutor(min(THREADS, usable_cores()), thread_name_prefix="decode")

    def pixels(self, name: str, data: bytes) -> np.ndarray:
        """The model's pixels of a picture; call it in a thread.

        Raises:
            UnreadableImage: with the reason.
        """
        with self.opened(name, data) as picture:
            # Through the model's own door: an ensemble's members have inputs of their own.
            return self.model.pixels(picture, name)

    @contextmanager
    def opened(self, name: str, data: bytes) -> Iterator[Image.Image]:
        """The picture, in RGB and upright, for as long as it has its place in memory.

        Raises:
            UnreadableImage: with the reason.
        """
        with self.room.place() as take:
            yield read_rgb(data, self.most, name, admit=take)

    def stop(self) -> None:
        """Begins no more; does not wait for what was begun, of which all askers were answered."""
        self.threads.shutdown(wait=False, cancel_futures=True)


def most_pixels(model: Model) -> int:
    """Pixels of the largest picture that a bundle takes; of an ensemble, that each member takes."""
    return min(spec.max_pixels for spec in model.predictor.specs)


def told(error: UnreadableImage) -> str:
    """Why a picture was not answered, and what the client can do."""
    ending = "" if isinstance(error, TooLarge) else "; send a whole picture"
    return f"{error.reason}{ending}."
