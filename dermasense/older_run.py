"""Runs that another version of DermaSense began, which this one may not understand."""

from pathlib import Path

from dermasense.errors import DermaSenseError
from dermasense.files import read_json
from dermasense.hydra_errors import compose_or_explain
from dermasense.overrides import flatten
from dermasense.provenance import commit


def refuse_another_version(words: list[str], begun: dict, environment: Path) -> None:
    """Holds the settings of a run against what this version makes of its words.

    Args:
        words: the options of train that began it.
        begun: the settings that it recorded.
        environment: its environment.json.

    Raises:
        DermaSenseError: this version knows other options than the one that began the run.
    """
    from omegaconf import OmegaConf

    known = read_json(environment) if environment.is_file() else {}
    version, made_by = known.get("packages", {}).get("dermasense"), known.get("commit") or ""
    if made_by and made_by == commit() and not made_by.endswith("+"):
        return
    try:
        config = OmegaConf.to_container(compose_or_explain("train", words), resolve=True)
        before, now = flatten(begun).keys(), flatten(config).keys()
        differ = sorted(before ^ now)
        why = f"options differ: {', '.join(differ[:5])}" if differ else ""
    except DermaSenseError as error:
        why = str(error).rstrip(".")
    if why:
        by = " ".join(filter(None, [version, made_by and f"commit {made_by}"])) or "unknown"
        raise DermaSenseError(
            f"{environment.parent} was begun with another DermaSense ({by}), and this one cannot "
            f"go on with it ({why}); go on with that version, or begin the run anew in another "
            "folder."
        )
