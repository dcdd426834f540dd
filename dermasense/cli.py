"""How a command meets a person: options composed by Hydra, mistakes in one sentence, exit codes.

Exit codes: 0 done; 1 a fault of the program; 2 a mistake that the user can mend; 3 done, but some
files could not be read (predict); 130 interrupted; 141 who read what it prints went away.
"""

import atexit
import gc
import os
import select
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dermasense.cluster.words import launcher_word, refuse_launcher
from dermasense.errors import DermaSenseError
from dermasense.files import why_refused
from dermasense.help_text import HELP, help_text
from dermasense.hydra_errors import explain
from dermasense.hydra_words import conf_folder, hydra_text, quoted
from dermasense.overrides import SEARCH_PATH, check_types
from dermasense.replaced_choices import default_taken, leave_out, no_search
from dermasense.run_folder import FAILED, record_failure
from dermasense.shell.candidates import FLAGS, asked_line, candidates

MULTIRUN = ("--multirun", "-m")
LAUNCHER = {"launcher": "hydra/launcher"}  # typed -> in the configuration
BROKEN_PIPE = 141  # as a shell counts what ended by SIGPIPE, 128 + 13
CONFIG_DIR = "--config-dir"

# A process that ends looks through all objects of torch for unreachable ones, for over a second;
# its memory goes back to the system all the same.
atexit.register(gc.freeze)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turns a user's mistake into one sentence on stderr and exit code 2, without a traceback."""
    try:
        yield
        print(end="", flush=True)
    except DermaSenseError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        # What is still to be printed has no place to go; Python would try once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        sentence = why_refused(error, error.filename or os.getcwd())
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        print(f"\ninterrupted. {interrupt}".rstrip(), file=sys.stderr)
        sys.exit(130)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader has ended, as `head` does."""
    if not hasattr(select, "poll"):  # Windows
        return True
    asked = select.poll()
    asked.register(sys.stdout.fileno(), 0)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in asked.poll(0))


def hydra_command(
    task: Callable[[Any, Path], Any],
    config_name: str,
    *,
    launches: bool = False,
    makes_run: bool = True,
    conf: Path | None = None,
) -> None:
    """Composes `conf/<config_name>.yaml` with the command line and runs `task(config, folder)`.

    In a multirun a trial that fails leaves `failed.json` with its reason, and the sweep goes on;
    where it ends early the summary of what has ended is written all the same. Trials may run in
    processes of their own (launcher=...): what is said of them is read in their folders.

    Args:
        task: what the command does.
        config_name: its configuration.
        launches: whether it takes launcher=... outside a multirun.
        makes_run: whether out=... names the folder of its run, which is Hydra's.
        conf: folder of a command from outside the package, with its configuration; None: ours.

    Raises:
        DermaSenseError: on unknown or mistyped options and values.
        SystemExit: 1 where no trial of a multirun finished.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting.
    # The launchers of submitit have a schema, to which our options for them are held.
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/submitit_")
    if _completed(config_name, {**LAUNCHER, "out": "hydra.run.dir"}, MULTIRUN):
        return
    words = _words_for_hydra(sys.argv[1:], makes_run=makes_run, own_conf=conf is not None)
    sys.argv[1:] = words
    folder = conf or conf_folder()  # of the command's own: Hydra looks in the first place alone
    explained = _explained(str(folder), config_name, words)
    if set(HELP) & set(words):
        with explained:
            print(help_text(config_name, folder, words, launches=launches or makes_run))
        return
    if not launches and not _is_multirun(words):
        refuse_launcher(words, config_name)
    import hydra

    from dermasense import sweep
    from dermasense.held_folder import held

    job = _Job(task, config_name)
    main = hydra.main(version_base="1.3", config_path=str(folder), config_name=config_name)(job)
    with explained, held, sweep.summarised():
        main()
        job.raise_failure()


class _Job:
    """What Hydra calls with a composed configuration: once, or in a multirun for each trial."""

    def __init__(self, task: Callable[[Any, Path], Any], config_name: str) -> None:
        self.task, self.config_name = task, config_name
        self.failure: Exception | None = None

    def __call__(self, config: Any) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        running = HydraConfig.get()
        folder = Path(running.runtime.output_dir)
        multirun = running.mode == RunMode.MULTIRUN
        try:
            if multirun:
                (folder / FAILED).unlink(missing_ok=True)
            typed = typed_words()
            searched = () if multirun else running.sweeper.get("params") or ()
            notes = [*no_search(searched, typed), *default_taken(config, typed)]
            for told in (*notes, *leave_out(config, typed, self.config_name)):
                print(f"note: {told}")
            check_types(config, typed, self.config_name)
            return self.task(config, folder)
        except Exception as error:
            if multirun:
                return record_failure(folder, error)
            self.failure = error
            return None

    def raise_failure(self) -> None:
        """Raises what the one job raised: Hydra would have printed a preamble of its own."""
        if self.failure is not None:
            raise self.failure


@contextmanager
def _explained(folder: str, config_name: str, words: list[str]) -> Iterator[None]:
    """Says in one sentence what Hydra, or what it called, refuses."""
    try:
        yield
    except Exception as error:
        sentence = explain(error, folder, config_name, words)
        if sentence is None:
            raise
        raise DermaSenseError(sentence) from None


def tool_command(
    start: Callable[[dict], None],
    name: str,
    *,
    texts: Iterable[str] = (),
    lists: Iterable[str] = (),
    renamed: Mapping[str, str] | None = None,
    launches: bool = False,
    conf: Path | None = None,
) -> None:
    """A command that is no training: `start(settings)` with the resolved `conf/<name>.yaml`.

    Args:
        start: what it does; mistakes are raised as DermaSenseError.
        name: of the configuration.
        texts: options with paths or other words that Hydra's grammar would not read unquoted.
        lists: such options that take several words between commas, which would mean a sweep.
        renamed: options that are typed by another name, as typed -> in the configuration.
        launches: whether it takes launcher=...
        conf: folder of a command from outside the package, with `<name>.yaml`; None: ours.
    """
    if _completed(name, {**(renamed or {}), **(LAUNCHER if launches else {})}):
        return
    sys.argv[1:] = [quoted(word, texts, lists, renamed or {}) for word in sys.argv[1:]]
    with one_sentence():
        if _is_multirun(sys.argv):
            raise DermaSenseError(f"--multirun: {name} does one thing at a time; leave it out.")

        def task(config: Any, _: Path) -> None:
            from omegaconf import OmegaConf

            start(OmegaConf.to_container(config, resolve=True))

        hydra_command(task, config_name=name, launches=launches, makes_run=False, conf=conf)


def _completed(name: str, typed: Mapping[str, str], flags: Iterable[str] = ()) -> bool:
    """Whether the shell asks what may stand at the cursor, which is then printed."""
    line = asked_line(sys.argv[1:])
    if line is not None:
        for word in candidates(name, line, typed, (*FLAGS, *flags)):
            print(word)
    return line is not None


def _words_for_hydra(words: Iterable[str], *, makes_run: bool, own_conf: bool) -> list[str]:
    """What was typed, as Hydra reads it: flags first, which people type anywhere, then options.

    Args:
        words: as typed.
        makes_run: whether out=... is the folder of Hydra.
        own_conf: whether the command has a folder of configurations of its own, beside ours.
    """
    words = sorted(map(launcher_word, words), key=lambda word: word not in MULTIRUN)
    if makes_run:
        words = [out_word(word, _is_multirun(words)) for word in words]
    return with_search_path(words, [conf_folder()] if own_conf else [])


def _is_multirun(words: Iterable[str]) -> bool:
    return bool(set(MULTIRUN) & set(words))


def with_search_path(words: Iterable[str], besides: Iterable[Path] = ()) -> list[str]:
    """`--config-dir DIR` as the search path of Hydra, which a run records and its trials keep.

    Args:
        words: the command line; --config-dir may stand anywhere in it, and more than once.
        besides: folders that are searched before those.

    Raises:
        DermaSenseError: a folder that is not there.
    """
    kept, folders, following = [], list(besides), iter(words)
    for word in following:
        flag, equals, folder = word.partition("=")
        if flag in (CONFIG_DIR, "-cd"):
            folder = folder if equals else next(following, "")
            if not folder:
                raise DermaSenseError(f"{CONFIG_DIR}: name a folder of configurations after it.")
            folders.append(Path(folder))
        else:
            kept.append(word)
    for folder in folders:
        if not folder.is_dir():
            raise DermaSenseError(f"{CONFIG_DIR} {folder}: no such folder of configurations.")
    if not folders:
        return kept
    if any(word.startswith(SEARCH_PATH) for word in kept):
        raise DermaSenseError(f"{SEARCH_PATH}...: type {CONFIG_DIR} as often as needed instead.")
    # A list of relative places would mean others when a run goes on elsewhere.
    places = ",".join(hydra_text(f"file://{folder.absolute()}") for folder in folders)
    return [*kept, f"{SEARCH_PATH}[{places}]"]


def typed_words() -> list[str]:
    """The words that make the configuration of the running command, as a run records them."""
    from hydra.core.hydra_config import HydraConfig

    overrides = HydraConfig.get().overrides
    return [*(w for w in overrides.hydra if w.startswith(SEARCH_PATH)), *overrides.task]


def out_word(word: str, multirun: bool) -> str:
    """`out=DIR` as Hydra calls the folder of a run, or of a multirun; other words as they are."""
    key, equals, value = word.partition("=")
    if key != "out" or not equals or not value:
        return word
    plain = value if value[0] in ('"', "'") else hydra_text(value)
    return f"hydra.{'sweep' if multirun else 'run'}.dir={plain}"


def argument(name: str) -> str | None:
    """Value of `name=...` on the command line, before Hydra reads it."""
    for word in sys.argv[1:]:
        if word.startswith(f"{name}="):
            return word.partition("=")[2] or None
    return None
