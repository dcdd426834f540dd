"""How Lightning's DDP is told of processes that are there already: see `dermasense.devices`."""

import signal
import threading
from typing import Any

import lightning as L
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy

from dermasense.data.shard import Shard


class Joined(ClusterEnvironment):
    """Processes of one machine that have joined their group before Lightning is asked.

    Lightning's own launcher runs the command line again in each process; under Hydra each then
    makes a run folder of its own, and a multirun walks its trials in each.
    """

    def __init__(self, shard: Shard) -> None:
        super().__init__()
        self.shard = shard

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return 0  # not asked for where the group stands

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.shard.world

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.shard.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.shard.rank

    def node_rank(self) -> int:
        return 0


class PlainSignals(L.Callback):
    """SIGTERM ends a process at once: Lightning's handler would broadcast in the middle of another
    collective, and the processes wait for each other for ever. A resumed run loses nothing by it.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self.shard.rank else leave)


def leave(_number: int, _frame: Any) -> None:
    """Answers SIGTERM in process 0 as Ctrl-C: the others are ended, and the person is told how to
    go on.
    """
    raise KeyboardInterrupt


def ddp_options(shard: Shard) -> dict[str, Any]:
    """Arguments of Lightning's Trainer for one of several processes; {} for one alone."""
    if shard.world == 1:
        return {}
    return {"strategy": DDPStrategy(cluster_environment=Joined(shard))}
