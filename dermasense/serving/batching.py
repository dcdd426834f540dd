"""Micro-batches: pictures of many requests pass the network together, in the order they came."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from dermasense.serving.problems import Problem, busy


@dataclass(eq=False)
class _Waiting:
    """A picture in the queue."""

    pixels: np.ndarray
    name: str
    answer: asyncio.Future


class MicroBatcher:
    """A bounded queue before one thread that runs the network.

    While the network is busy a batch gathers by itself; when it is idle the first picture goes at
    once, or waits `wait_seconds` for company. All methods but the network run in the event loop.

    Args:
        judge: pixels and names to answers, as `Model.judge`.
        size: most pictures in a batch.
        capacity: most pictures that wait.
        wait_seconds: how long an idle network waits for a batch to fill.
        seen: called with the size and seconds of each batch.
    """

    def __init__(
        self,
        judge: Callable[[Sequence[np.ndarray], Sequence[str]], list[Any]],
        *,
        size: int = 16,
        capacity: int = 64,
        wait_seconds: float = 0.0,
        seen: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self.judge, self.size, self.capacity = judge, size, capacity
        self.wait_seconds, self.seen = wait_seconds, seen
        self.waiting: deque[_Waiting] = deque()
        self.pace = 0.0  # seconds a picture, smoothed; 0 until the first batch
        self._reserved, self._closed = 0, False
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._task: asyncio.Task | None = None

    @property
    def depth(self) -> int:
        """Pictures that wait or are about to."""
        return len(self.waiting) + self._reserved

    def start(self) -> None:
        """Begins to answer; call it in the running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Answers all that waits, then ends."""
        self._closed = True
        self._arrived.set()
        if self._task:
            await self._task
        self._thread.shutdown()

    def reserve(self, count: int) -> None:
        """Keeps places for pictures that are still being decoded.

        Raises:
            Problem: 503 with Retry-After, where there are not so many.
        """
        if self._closed or self.depth + count > self.capacity:
            raise busy(self.depth * self.pace)
        self._reserved += count

    def release(self, count: int) -> None:
        """Gives places back, of pictures that could not be decoded."""
        self._reserved -= count

    def submit(self, pixels: np.ndarray, name: str) -> asyncio.Future:
        """Puts a picture into a reserved place; the future is its answer."""
        self._reserved -= 1
        waiting = _Waiting(pixels, name, asyncio.get_running_loop().create_future())
        self.waiting.append(waiting)
        self._arrived.set()
        return waiting.answer

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            if self.wait_seconds and len(self.waiting) < self.size and not self._closed:
                await asyncio.sleep(self.wait_seconds)
            batch = self._take()
            if batch:
                began = loop.time()
                names = [one.name for one in batch]
                pixels = [one.pixels for one in batch]
                try:
                    answers = await loop.run_in_executor(self._thread, self.judge, pixels, names)
                except Exception:
                    fault = Problem(500, "fault", "The network failed on this batch; try again.")
                    _settle(batch, fault)
                    raise_later(loop, names)
                else:
                    for one, answer in zip(batch, answers, strict=True):
                        if not one.answer.done():
                            one.answer.set_result(answer)
                seconds = loop.time() - began
                pace = seconds / len(batch)
                self.pace = pace if not self.pace else 0.8 * self.pace + 0.2 * pace
                self.seen(len(batch), seconds)
            if not self.waiting:
                self._arrived.clear()
                if self._closed and not self._reserved:
                    return
                if self._closed:  # pictures are still being decoded
                    await asyncio.sleep(0.01)
                    self._arrived.set()

    def _take(self) -> list[_Waiting]:
        """The next pictures whose askers still wait."""
        batch: list[_Waiting] = []
        while self.waiting and len(batch) < self.size:
            one = self.waiting.popleft()
            if not one.answer.done():
                batch.append(one)
        return batch


def _settle(batch: list[_Waiting], fault: Problem) -> None:
    for one in batch:
        if not one.answer.done():
            one.answer.set_exception(fault)


def raise_later(loop: asyncio.AbstractEventLoop, names: list[str]) -> None:
    """Hands the current exception to the loop's handler, which logs it; the server goes on."""
    import sys

    loop.call_exception_handler(
        {"message": f"the network failed on {len(names)} pictures", "exception": sys.exception()}
    )
