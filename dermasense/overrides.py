"""What is wrong with a command line, in one sentence: Hydra's errors, values of a wrong type."""

import re
from typing import Any

from dermasense.errors import DermaSenseError, nearest

# Options that take several types on purpose: the code that reads them checks them.
SEVERAL_TYPES = ("unfreeze", "alpha", "limit_train_batches", "limit_val_batches", "devices")


def check_types(config: Any, overrides: list[str], config_name: str) -> None:
    """Holds the type of each `key=value` against the value that it replaces.

    Args:
        config: the composed configuration.
        overrides: the command line.
        config_name: name of the primary configuration.

    Raises:
        DermaSenseError: "seed=abc: expected an integer".
    """
    from hydra import compose
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    parsed = OverridesParser.create().parse_overrides(overrides)
    values = [o for o in parsed if "." in o.key_or_group or not _is_group(o)]
    groups = [o.input_line for o in parsed if o not in values]
    before = compose(config_name, overrides=groups)
    for override in values:
        key = override.key_or_group
        old = OmegaConf.select(before, key, default=None)
        new = OmegaConf.select(config, key, default=None)
        expected = _expected(old)
        if expected is None or new is None or key.rpartition(".")[2] in SEVERAL_TYPES:
            continue
        if not _fits(old, new):
            raise DermaSenseError(f"{key}={new}: expected {expected}.")


def _is_group(override: Any) -> bool:
    from dermasense.cli import conf_folder

    return (conf_folder() / override.key_or_group).is_dir() and not isinstance(
        override.value(), dict
    )


def _expected(old: Any) -> str | None:
    names = {bool: "true or false", int: "an integer", float: "a number"}
    return names.get(type(old))


def _fits(old: Any, new: Any) -> bool:
    if isinstance(old, bool) or isinstance(new, bool):
        return isinstance(old, bool) and isinstance(new, bool)
    return isinstance(new, int | float) if isinstance(old, float) else isinstance(new, int)


def explain(error: Exception, folder: str, config_name: str) -> str | None:
    """One sentence for an error of Hydra or OmegaConf that the command line caused, else None."""
    module = type(error).__module__
    if not module.startswith(("hydra.", "omegaconf.")):
        return None
    text = str(error)
    if options := getattr(error, "options", None):
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={choice} is no choice; {nearest(choice, options)}"
    if found := re.search(r"Could not (?:override|append to config\.?|delete) '?([^'\s]+)'?", text):
        key = found.group(1).rstrip(".")
        return f"{key} is no option; {nearest(key, _known_keys(folder, config_name))}"
    if "LexerNoViableAlt" in text or "mismatched input" in text or "extraneous input" in text:
        first = text.splitlines()[0]
        return f"the command line cannot be read: {first}; write key=value, quote what has spaces."
    return " ".join(text.split())


def _known_keys(folder: str, config_name: str) -> list[str]:
    from pathlib import Path

    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_dir(folder, version_base="1.3"):
        config = OmegaConf.to_container(compose(config_name), resolve=False)
    groups = [path.name for path in Path(folder).iterdir() if path.is_dir()]
    return [*flatten(config), *groups]


def flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """Dotted keys of a nested dict to their leaves."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
