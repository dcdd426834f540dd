"""How a command meets a person: options composed by Hydra, mistakes in one sentence, exit codes.

Exit codes: 0 done; 1 a fault of the program; 2 a mistake that the user can mend; 3 done, but some
files could not be read (predict); 130 interrupted.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
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

    In a multirun a trial that fails leaves `failed.json` with its reason, and the sweep goes on;
    after Ctrl-C the summary of what has ended is written all the same.

    Raises:
        DermaSenseError: on unknown or mistyped options and values.
        SystemExit: 1 where no trial of a multirun finished.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting.
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    failures: list[Exception] = []
    trials: list[Path] = []
    failed: list[Path] = []

    def application(config):
        running = HydraConfig.get()
        folder = Path(running.runtime.output_dir)
        multirun = running.mode == RunMode.MULTIRUN
        if multirun:
            trials.append(folder)
        try:
            check_types(config, list(running.overrides.task), config_name)
            return task(config, folder)
        except Exception as error:
            if multirun:
                failed.append(folder)
                return _record_failure(folder, error)
            failures.append(error)  # raised below: Hydra would print a preamble of its own
            return None

    # Hydra reads flags before words only; people type them anywhere.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: word not in ("--multirun", "-m"))
    folder = str(conf_folder())
    try:
        hydra.main(version_base="1.3", config_path=folder, config_name=config_name)(application)()
        if failures:
            raise failures[0]
    except KeyboardInterrupt:
        if trials:  # Hydra tells its callbacks of a sweep's end only where all trials have run
            from dermasense.sweep import summarise_sweep

            summarise_sweep(trials[0].parent)
        raise
    except Exception as error:
        sentence = explain(error, folder, config_name, sys.argv[1:])
        if sentence is None:
            raise
        raise DermaSenseError(sentence) from None
    if trials and len(failed) == len(trials):
        say = f"error: no trial finished ({len(trials)} failed); each says why in its failed.json"
        print(f"{say}, the first in {trials[0]}", file=sys.stderr)
        sys.exit(1)


def tool_command(
    start: Callable[[dict], None],
    name: str,
    *,
    texts: Iterable[str] = (),
    lists: Iterable[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> None:
    """A command that is no training: `start(settings)` with the resolved `conf/<name>.yaml`.

    Args:
        start: what it does; mistakes are raised as DermaSenseError.
        name: of the configuration.
        texts: options with paths or other words that Hydra's grammar would not read unquoted.
        lists: such options that take several words between commas, which would mean a sweep.
        renamed: options that are typed by another name, as typed -> in the configuration.
    """
    sys.argv[1:] = [quoted(word, texts, lists, renamed or {}) for word in sys.argv[1:]]
    with one_sentence():
        if {"-m", "--multirun"} & set(sys.argv):
            raise DermaSenseError(f"--multirun: {name} does one thing at a time; leave it out.")

        def task(config: Any, _: Path) -> None:
            from omegaconf import OmegaConf

            start(OmegaConf.to_container(config, resolve=True))

        hydra_command(task, config_name=name)


def quoted(
    word: str, texts: Iterable[str], lists: Iterable[str] = (), renamed: Mapping[str, str] = {}
) -> str:
    """A word of the command line, quoted for Hydra's grammar; see :func:`tool_command`."""
    key, equals, value = word.partition("=")
    if not equals:
        return word
    key = renamed.get(key, key)
    if key not in (*texts, *lists) or value[:1] in ("", "[", '"', "'") or value == "null":
        return f"{key}={value}"
    if key in texts:
        return f"{key}={_string(value)}"
    return f"{key}=[{','.join(_string(each.strip()) for each in value.split(',') if each.strip())}]"


def _string(value: str) -> str:
    escaped = value.replace('\\"', '\\\\"').replace('"', '\\"')
    return f'"{escaped}"'


def _record_failure(folder: Path, error: Exception) -> float:
    """Writes `failed.json`: the reason, and for a fault of the program where it happened."""
    import traceback

    from dermasense.files import write_json

    failure: dict[str, Any] = {"reason": str(error)}
    shown = str(error)
    if not isinstance(error, DermaSenseError):
        failure = {"reason": f"{type(error).__name__}: {error}"}
        failure["traceback"] = "".join(traceback.format_exception(error)).splitlines()
        shown = f"{failure['reason']} (traceback in {folder / 'failed.json'})"
    write_json(folder / "failed.json", failure)
    print(f"trial {folder.name} failed: {shown}", file=sys.stderr)
    return float("nan")


def argument(name: str) -> str | None:
    """Value of `name=...` on the command line, before Hydra reads it."""
    for word in sys.argv[1:]:
        if word.startswith(f"{name}="):
            return word.partition("=")[2] or None
    return None
