"""Two processes that train together, forked from the tests: nothing is imported anew."""

import multiprocessing
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed as dist

from dermasense.data.shard import Shard
from dermasense.training.process_group import joined

fork = multiprocessing.get_context("fork")


def in_processes(world: int, work: Callable[..., Any], *words: Any, timeout: float = 60) -> list:
    """What `work(shard, *words)` returns in each of `world` processes of one group."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    pipes, processes = [], []
    for rank in range(world):
        here, there = fork.Pipe(duplex=False)
        arguments = (there, store.port, Shard(rank, world), timeout, work, words)
        process = fork.Process(target=_run, args=arguments, daemon=True)
        process.start()
        there.close()
        pipes.append(here)
        processes.append(process)
    answers = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    for answer in answers:
        assert not isinstance(answer, str) or not answer.startswith("Traceback"), answer
    return answers


def _run(pipe, port: int, shard: Shard, timeout: float, work, words) -> None:
    torch.set_num_threads(1)
    try:
        store = dist.TCPStore("127.0.0.1", port, is_master=False)
        with joined(store, shard, "cpu", timeout):
            pipe.send(work(shard, *words))
    except BaseException:
        pipe.send(traceback.format_exc())
