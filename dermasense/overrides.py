"""What is wrong with a command line, in one sentence: Hydra's errors, values of a wrong type."""

import re
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError, nearest

# Options that take several types on purpose: the code that reads them checks them.
SEVERAL_TYPES = ("unfreeze", "alpha", "limit_train_batches", "limit_val_batches", "devices")


# Places where `+key=value` may add what the configuration does not have.
OPEN_PLACES = ("phases.", "trainer.", "hydra.")


def check_types(config: Any, overrides: list[str], config_name: str) -> None:
    """Holds each word of the command line against the configuration without it.

    Args:
        config: the composed configuration.
        overrides: the command line.
        config_name: name of the primary configuration.

    Raises:
        DermaSenseError: a value of another type ("seed=abc: expected an integer"), an added key
            that nothing reads, or a removed group.
    """
    from hydra import compose
    from omegaconf import OmegaConf

    values, groups = _values_and_groups(overrides)
    before = compose(config_name, overrides=groups)
    for key in before:
        if key not in config:
            raise DermaSenseError(f"~{key}: every run needs {key}; choose another one instead.")
    for override in values:
        key = override.key_or_group
        old = OmegaConf.select(before, key, default=None)
        new = OmegaConf.select(config, key, default=None)
        if override.is_add() and not key.startswith(OPEN_PLACES):
            known = list(flatten(OmegaConf.to_container(before)))
            raise DermaSenseError(f"+{key}: nothing reads this option; {nearest(key, known)}")
        expected = _expected(old)
        if expected is None or new is None or key.rpartition(".")[2] in SEVERAL_TYPES:
            continue
        if not _fits(old, new):
            raise DermaSenseError(f"{key}={new}: expected {expected}.")


def _values_and_groups(overrides: list[str]) -> tuple[list[Any], list[str]]:
    """Parsed `key=value` words, and the words that choose of a group, as they were typed."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from dermasense.cli import conf_folder

    values, groups = [], []
    for override in OverridesParser.create().parse_overrides(overrides):
        is_group = (conf_folder() / override.key_or_group).is_dir()
        if is_group and not isinstance(override.value(), dict):
            if not override.is_delete():
                groups.append(override.input_line)
        else:
            values.append(override)
    return values, groups


def _expected(old: Any) -> str | None:
    names = {bool: "true or false", int: "an integer", float: "a number"}
    return names.get(type(old))


def _fits(old: Any, new: Any) -> bool:
    if isinstance(old, bool) or isinstance(new, bool):
        return isinstance(old, bool) and isinstance(new, bool)
    return isinstance(new, int | float) if isinstance(old, float) else isinstance(new, int)


def explain(error: Exception, folder: str, config_name: str, overrides: list[str]) -> str | None:
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
        return f"{key} is no option; {nearest(key, _known_keys(folder, config_name, overrides))}"
    if "LexerNoViableAlt" in text or "mismatched input" in text or "extraneous input" in text:
        first = text.splitlines()[0]
        word = first.rpartition(": ")[2]
        return f"the command line cannot be read: {word}; write key=value, quote what has spaces."
    return " ".join(text.split())


def _known_keys(folder: str, config_name: str, overrides: list[str]) -> list[str]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    words = [word for word in overrides if "=" in word and "," not in word]
    _, groups = _values_and_groups(words)
    GlobalHydra.instance().clear()
    with initialize_config_dir(folder, version_base="1.3"):
        try:
            composed = compose(config_name, overrides=groups)
        except Exception:  # the groups themselves are wrong: the plain configuration will do
            composed = compose(config_name)
    names = [path.name for path in Path(folder).iterdir() if path.is_dir()]
    return [*flatten(OmegaConf.to_container(composed)), *names]


def flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """Dotted keys of a nested dict to their leaves."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
