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

    Args:
        folder: of the sweep.
        config: the configuration of the multirun, with `hydra`, not resolved.

    Raises:
        DermaSenseError: trials of other words or options lie there.
    """
    path = folder / SWEEP
    if not path.is_file() or not any(folder.glob("*/.hydra")):
        return
    now = _asked(config)
    try:
        before = _asked(read_yaml(path))
    except (TypeError, KeyError):
        raise DermaSenseError(
            f"{path} is damaged: it tells no command; name another folder with out=..."
        ) from None
    if before != now:
        differ = [key for key in before.keys() | now.keys() if before.get(key) != now.get(key)]
        raise DermaSenseError(
            f"{folder} holds a sweep that differs in {', '.join(sorted(differ))}; a sweep that "
            f"goes on keeps its words ({shlex.join(before['words'])}) and their order: type them "
            "as before, or name another folder with out=..."
        )


def _asked(config: Mapping[str, Any]) -> dict[str, Any]:
    hydra = config["hydra"]
    sweeper = {key: hydra["sweeper"].get(key) for key in ("_target_", "params")}
    options = {key: value for key, value in config.items() if key != "hydra"}
    return {**options, "words": hydra["overrides"]["task"], "sweeper": sweeper}
