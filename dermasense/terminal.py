"""Lines for the person at the terminal, on standard error; results alone go to standard output."""

import sys
import time
from collections.abc import Callable


def say(text: str) -> None:
    """A line at once."""
    print(text, file=sys.stderr, flush=True)


def counter(what: str, after: float = 0.0) -> Callable[[int, int], None] | None:
    """A function of (done, of all) that renews one line with the rate, to say how far a command is.

    Args:
        what: is done, such as "predicting".
        after: seconds before there is a line: what ends sooner needs none.

    Returns:
        None where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        return None
    begun: list[tuple[float, int]] = []
    made = time.monotonic()

    def show(done: int, total: int) -> None:
        begun or begun.append((time.monotonic(), done))
        if time.monotonic() - made < after:
            return
        seconds, before = time.monotonic() - begun[0][0], begun[0][1]
        rate = f", {(done - before) / seconds:.0f} a second" if seconds > 1 else ""
        end = "\n" if done == total else ""
        line = f"\r\033[K{what}: {done:,} of {total:,}{rate}"
        print(line, end=end, file=sys.stderr, flush=True)

    return show
