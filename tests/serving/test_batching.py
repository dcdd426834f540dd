"""Micro-batches: the queue is filled to its end, and who has a place in it is answered."""

import asyncio

import numpy as np
import pytest

from dermasense.serving.batching import MicroBatcher
from dermasense.serving.limits import Limits
from dermasense.serving.problems import Problem


def test_the_queue_is_filled_to_its_end_and_goes_in_batches_of_the_size():
    async def run():
        sizes = []
        batcher = MicroBatcher(
            lambda pixels, names: list(names),
            size=2,
            capacity=5,
            seen=lambda n, _: sizes.append(n),
        )
        batcher.reserve(5)
        batcher.pace = 2.0
        with pytest.raises(Problem) as refused:
            batcher.reserve(1)
        assert refused.value.status == 503 and refused.value.headers["Retry-After"] == "10"
        answers = [batcher.submit(np.zeros(1), str(n)) for n in range(5)]
        batcher.start()
        assert await asyncio.gather(*answers) == list("01234") and sizes == [2, 2, 1]
        batcher.reserve(1)  # still being decoded when told to stop
        stopping = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0.05)
        late = batcher.submit(np.zeros(1), "late")
        await stopping
        assert late.done() and late.result() == "late"

    asyncio.run(run())


def test_a_request_may_fill_the_queue():
    assert Limits(files=8, queue=8).queue == 8
