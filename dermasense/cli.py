"""How a command meets a person: options composed by Hydra, mistakes in one sentence, exit codes.

Exit codes: 0 done; 1 a fault of the program; 2 a mistake that the user can mend; 130 interrupted.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError
from dermasense.overrides import check_types, explain

PACKAGE = Path(__file__).resolve().parent


def conf_folder() -> Path:
    """Where the configuration lies: beside the package in a checkout, inside it once installed."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turns a user's mistake into one sentence on stderr and exit code 2, without a traceback."""
    try:
        yield
    except DermaSenseError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        print(f"\ninterrupted. {interrupt}".rstrip(), file=sys.stderr)
        sys.exit(130)


def hydra_command(task: Callable[[Any, Path], Any], config_name: str) -> None:
    """Composes `conf/<config_name>.yaml` with the command line and runs `task(config, folder)`.

    In a multirun a trial that fails leaves `failed.json` with its reason, and the sweep goes on.

    Raises:
        DermaSenseError: on unknown or mistyped options and values.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting.
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    failures: list[Exception] = []

    def application(config):
        running = HydraConfig.get()
        folder = Path(running.runtime.output_dir)
        try:
            check_types(config, list(running.overrides.task), config_name)
            return task(config, folder)
        except Exception as error:
            if running.mode == RunMode.MULTIRUN:
                return _record_failure(folder, error)
            failures.append(error)  # raised below: Hydra would print a preamble of its own
            return None

    # Hydra reads flags before words only; people type them anywhere.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: word not in ("--multirun", "-m"))
    folder = str(conf_folder())
    try:
        hydra.main(version_base="1.3", config_path=folder, config_name=config_name)(application)()
    except Exception as error:
        sentence = explain(error, folder, config_name, sys.argv[1:])
        if sentence is None:
            raise
        raise DermaSenseError(sentence) from None
    if failures:
        raise failures[0]


def _record_failure(folder: Path, error: Exception) -> float:
    import logging

    from dermasense.files import write_json

    reason = (
        str(error) if isinstance(error, DermaSenseError) else f"{type(error).__name__}: {error}"
    )
    if not isinstance(error, DermaSenseError):
        logging.getLogger(__name__).debug("trial %s failed", folder.name, exc_info=error)
    write_json(folder / "failed.json", {"reason": reason})
    print(f"trial {folder.name} failed: {reason}", file=sys.stderr)
    return float("nan")


def argument(name: str) -> str | None:
    """Value of `name=...` on the command line, before Hydra reads it."""
    for word in sys.argv[1:]:
        if word.startswith(f"{name}="):
            return word.partition("=")[2] or None
    return None
