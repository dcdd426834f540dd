"""What a plain sweep, Hydra's own, was asked to do, as the multirun.yaml in its folder tells."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError
from dermasense.files import read_yaml
from dermasense.run_folder import SWEEP


def refuse_another_sweep(folder: Path, config: Mapping[str, Any]) -> None:
    """Holds a plain sweep against the one in its folder, so that trials keep their numbers.

    More trials may follow those that lie there, as more values of the first option make them.

    Args:
        folder: of the sweep.
        config: the configuration of the multirun, with `hydra`, not resolved.

    Raises:
        DermaSenseError: trials of other words or options lie there.
    """
    path = folder / SWEEP
    if not path.is_file() or not any(folder.glob("*/.hydra")):
        return
    now, trials = _asked(config)
    there = read_yaml(path)
    try:
        before, first = _asked(there)
    except (TypeError, KeyError):
        raise DermaSenseError(
            f"{path} is damaged: it tells no command; name another folder with out=..."
        ) from None
    differ = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
    if trials[: len(first)] != first:
        differ.add("words")
    if differ:
        words = shlex.join(there["hydra"]["overrides"]["task"])
        raise DermaSenseError(
            f"{folder} holds a sweep that differs in {', '.join(sorted(differ))}; a sweep that "
            f"goes on keeps its words ({words}) and their order, and more values of the first "
            "option may follow: type them so, or name another folder with out=..."
        )


def _asked(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[list[str]]]:
    """What holds for all trials, and the words of each."""
    hydra = config["hydra"]
    sweeper = {key: hydra["sweeper"].get(key) for key in ("_target_", "params")}
    options = {key: value for key, value in config.items() if key != "hydra"}
    return {**options, "sweeper": sweeper}, _trials(hydra["overrides"]["task"])


def _trials(words: list[str]) -> list[list[str]]:
    """The words of each trial, as Hydra numbers them; of a pattern of choices, those typed."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Glob
    from hydra.errors import HydraException

    parsed = OverridesParser.create().parse_overrides(words)
    if any(isinstance(each.value(), Glob) for each in parsed):
        return [words]
    try:
        return BasicSweeper.split_arguments(parsed, None)[0]
    except HydraException:  # an interval, which Hydra refuses next
        return [words]
