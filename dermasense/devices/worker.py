"""A process that helps to train a run: `python -m dermasense.devices.worker`, started by `launch`.

It reads the settings in the run folder, walks its part of every batch, and writes nothing.
"""

import os
import signal
import sys
import threading
from pathlib import Path


def main(words: list[str]) -> None:
    """Takes part in the run that `words` name: folder, rank, world, port, device, timeout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # process 0 alone answers Ctrl-C
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    folder, rank, world, port, device, timeout = words

    # After the thread: these imports take seconds, and process 0 may be killed meanwhile.
    from torch import distributed as dist

    from dermasense.data.shard import Shard
    from dermasense.devices.launch import hello
    from dermasense.errors import DermaSenseError
    from dermasense.experiment import take_part
    from dermasense.run_folder import RunFolder
    from dermasense.training.process_group import joined

    shard, run = Shard(int(rank), int(world)), RunFolder(Path(folder))
    store = dist.TCPStore("127.0.0.1", int(port), is_master=False)
    store.set(hello(shard), "")
    try:
        with joined(store, shard, device, float(timeout)):
            take_part(run.read_config()[1], run, shard)
    except DermaSenseError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _end_with_the_first() -> None:
    os.read(0, 1)  # not sys.stdin, whose lock this thread would hold while Python shuts down
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
